// The Anthropic SDK for Node: what its user gets from BASE, as one JSON object on standard output.
// The gateway's own event is handed on as one more of the type `ping`, which is no state of a message.

import Anthropic from '@anthropic-ai/sdk';
import { results } from './results.mjs';

const client = new Anthropic({ baseURL: `${process.env.BASE}/anthropic`, authToken: process.env.KEY, apiKey: null, maxRetries: 0 });
const tools = [{ name: 'weather', input_schema: { type: 'object', properties: { city: { type: 'string' } } } }];
const asking = (kind, more = {}) => ({ model: 'a-model', max_tokens: 64, messages: [{ role: 'user', content: kind }], ...more });

const all = async (stream) => {
  const seen = [];
  for await (const event of stream) if (event.type !== 'ping') seen.push(event);
  return seen;
};

const helper = async (kind) => {
  const stream = client.messages.stream(asking(kind, { tools }));
  const pieces = [];
  stream.on('text', (piece) => pieces.push(piece));
  const seen = (await all(stream)).map((event) => event.type);
  return { pieces, seen, final: await stream.finalMessage() };
};

await results({
  message: () => client.messages.create(asking('text')),
  'message with a tool': () => client.messages.create(asking('tool', { tools })),
  stream: async () => all(await client.messages.create(asking('text', { stream: true }))),
  'stream with a tool': async () => all(await client.messages.create(asking('tool', { stream: true, tools }))),
  helper: () => helper('text'),
  'helper with a tool': () => helper('tool'),
  'stream, left early': async () => {
    for await (const event of await client.messages.create(asking('text', { stream: true }))) return event;
  },
  'stream with an error in it': async () => all(await client.messages.create(asking('breaks', { stream: true }))),
  'helper with an error in it': () => helper('breaks'),
  wrong: () => client.messages.create(asking('wrong')),
  limited: () => client.messages.create(asking('limited')),
  broken: () => client.messages.create(asking('broken', { stream: true })),
});
