declare module 'virtual:contract' {
  import type { contract } from '../../src/api/contract.ts';

  const routes: typeof contract;
  export default routes;
}
