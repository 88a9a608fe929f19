/** The OpenAPI 3.1 description of the operations. */
import type { OpenAPI } from '@orpc/contract';
import { OpenAPIGenerator } from '@orpc/openapi';
import { ZodToJsonSchemaConverter } from '@orpc/zod/zod4';
import { contract } from './contract.ts';
import { job } from './job.ts';
import { event, file, linkInfo, message, person, status } from './shapes.ts';

let made: Promise<OpenAPI.Document> | undefined;

/** Made once, when first asked for: it needs none of the node's state. */
export function openApi(): Promise<OpenAPI.Document> {
  made ??= new OpenAPIGenerator({ schemaConverters: [new ZodToJsonSchemaConverter()] }).generate(contract, {
    info: {
      title: 'NetApp agent',
      version: '1',
      description:
        'The operations of one NetApp node’s agent. Times are ISO 8601 in UTC, sizes are bytes, rates bytes per second. ' +
        'Errors are JSON: a closed `code`, a `message` for people, and sometimes `data`.',
    },
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    security: [{ token: [] }],
    commonSchemas: {
      Status: { schema: status },
      Person: { schema: person },
      Message: { schema: message },
      File: { schema: file },
      Link: { schema: linkInfo },
      Event: { schema: event },
      Job: { schema: job },
    },
  });
  return made;
}
