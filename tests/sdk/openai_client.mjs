// The OpenAI SDK for Node: what its user gets from BASE, as one JSON object on standard output.

import OpenAI from 'openai';
import { results } from './results.mjs';

const client = new OpenAI({ baseURL: `${process.env.BASE}/openai`, apiKey: process.env.KEY, maxRetries: 0 });
const asking = (kind, more = {}) => ({ model: 'a-model', messages: [{ role: 'user', content: kind }], ...more });
const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }];

const all = async (stream) => {
  const seen = [];
  for await (const event of stream) if (event.type !== 'keepalive') seen.push(event);
  return seen;
};

const helper = async (kind, more) => {
  const stream = client.chat.completions.stream(asking(kind, more));
  const pieces = [];
  stream.on('content', (piece) => pieces.push(piece));
  const final = await stream.finalChatCompletion();
  return { pieces, final, usage: await stream.totalUsage() };
};

const responsesHelper = async (kind) => {
  const stream = client.responses.stream({ model: 'a-model', input: kind });
  const seen = (await all(stream)).map((event) => event.type);
  return { seen, final: await stream.finalResponse() };
};

const leftEarly = async () => {
  for await (const chunk of await client.chat.completions.create(asking('text', { stream: true }))) return chunk;
};

await results({
  chat: () => client.chat.completions.create(asking('text')),
  'chat with a tool': () => client.chat.completions.create(asking('tool', { tools })),
  'chat stream': async () => all(await client.chat.completions.create(asking('text', { stream: true }))),
  'every chunk has a choice': async () => {
    let text = '';
    for await (const chunk of await client.chat.completions.create(asking('text', { stream: true }))) text += chunk.choices[0].delta.content ?? '';
    return text;
  },
  'chat stream with usage': async () => all(await client.chat.completions.create(asking('text', { stream: true, stream_options: { include_usage: true } }))),
  'chat stream with a tool': async () => all(await client.chat.completions.create(asking('tool', { stream: true, tools }))),
  'chat helper': () => helper('text', { stream_options: { include_usage: true } }),
  'chat helper with a tool': () => helper('tool', { tools }),
  'chat stream, left early': leftEarly,
  'chat stream with an error in it': async () => all(await client.chat.completions.create(asking('breaks', { stream: true }))),
  responses: () => client.responses.create({ model: 'a-model', input: 'text' }),
  'responses with a tool': () => client.responses.create({ model: 'a-model', input: 'tool' }),
  'responses stream': async () => all(await client.responses.create({ model: 'a-model', input: 'text', stream: true })),
  'responses stream with a tool': async () => all(await client.responses.create({ model: 'a-model', input: 'tool', stream: true })),
  'responses helper': () => responsesHelper('text'),
  embeddings: () => client.embeddings.create({ model: 'a-model', input: 'text' }),
  completions: () => client.completions.create({ model: 'a-model', prompt: 'text' }),
  'completions stream': async () => all(await client.completions.create({ model: 'a-model', prompt: 'text', stream: true })),
  wrong: () => client.chat.completions.create(asking('wrong')),
  limited: () => client.chat.completions.create(asking('limited')),
  broken: () => client.chat.completions.create(asking('broken', { stream: true })),
});
