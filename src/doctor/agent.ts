/** The agent: whether it runs, answers at its port, and waits for something that only a person can do. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createClient } from '../api/client.ts';
import { toFault } from '../base/fault.ts';
import { createIdentity } from '../link/certificate.ts';
import { dial } from '../link/dial.ts';
import { NODE_PORT } from '../node/home.ts';
import { bad, type Check, isUp, note, ok } from './check.ts';

export const agent: Check = {
  name: 'agent',
  run: async ({ agent }) => {
    if (!isUp(agent)) return [bad('agent', agent.code, agent.message)];
    const { handle, since, queue } = agent;
    const waiting = queue.messages + queue.files;
    return [
      ok('agent', `${handle} is up since ${since}`),
      ...(waiting > 0 ? [note('queue', `${queue.messages} messages and ${queue.files} files wait or move`)] : []),
    ];
  },
};

export const port: Check = {
  name: 'port',
  run: async ({ agent, config, signal }) => {
    if (!isUp(agent)) {
      const port = config.port ?? NODE_PORT;
      const server = createServer().listen(port);
      try {
        await once(server, 'listening');
        return [ok('port', `${port} is free`)];
      } catch (error) {
        const fault = toFault(error, `listening on port ${port}`, 'unwritable');
        return [
          bad('port', fault.code, fault.message, 'end that program, or choose another port with netapp up --port'),
        ];
      } finally {
        server.close();
      }
    }
    const [address] = agent.addresses;
    if (address === undefined) return [bad('port', 'peer_unreachable', 'this machine has no address but loopback')];
    const socket = await dial({ address, expect: agent.node, identity: await createIdentity(), signal });
    socket.destroy();
    return [ok('port', `this node answers at ${agent.addresses.join(', ')}`)];
  },
};

export const people: Check = {
  name: 'people',
  run: async ({ agent, agentPath, signal }) => {
    if (!isUp(agent)) return [];
    const all = await createClient({ socketPath: agentPath }).people.list(undefined, { signal });
    return all
      .filter(({ keyChanged }) => keyChanged !== null)
      .map(({ handle, keyChanged }) =>
        bad(
          'people',
          'key_changed',
          `${handle} is shown with another key, so nothing is sent there`,
          `ask them by another way; if it is theirs: netapp people accept-key ${handle} --key ${keyChanged}`,
        ),
      );
  },
};
