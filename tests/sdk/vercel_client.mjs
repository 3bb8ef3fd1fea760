// The Vercel AI SDK, with its providers for OpenAI (chat and responses), Anthropic and whatever speaks like OpenAI: what
// its user gets from BASE, as one JSON object on standard output.

import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, jsonSchema, streamText, tool } from 'ai';
import { results } from './results.mjs';

// Its warnings go to standard output.
globalThis.AI_SDK_LOG_WARNINGS = false;

const [base, key] = [process.env.BASE, process.env.KEY];
const openai = createOpenAI({ baseURL: `${base}/openai`, apiKey: key });
const compatible = createOpenAICompatible({ name: 'compatible', baseURL: `${base}/openai`, apiKey: key, includeUsage: true });
const anthropic = createAnthropic({ baseURL: `${base}/anthropic/v1`, authToken: key });
const models = {
  chat: openai.chat('a-model'),
  responses: openai.responses('a-model'),
  compatible: compatible('a-model'),
  anthropic: anthropic('a-model'),
};
const tools = { weather: tool({ inputSchema: jsonSchema({ type: 'object', properties: { city: { type: 'string' } } }) }) };

const whole = async (model, prompt) => {
  const { text, usage, finishReason, toolCalls } = await generateText({ model, prompt, tools, maxRetries: 0 });
  return { text, usage, finishReason, toolCalls };
};

/** Where a stream counted nothing, Vercel's clients make zeros of the gateway's own `usage`: both mean that nothing is known. */
const counted = (usage) => (usage?.totalTokens ? usage : undefined);

/** Every part of a stream, as its user sees it. */
const streamed = async (model, prompt) => {
  const seen = [];
  const stream = streamText({ model, prompt, tools, maxRetries: 0, onError: () => {} });
  for await (const part of stream.fullStream) {
    const { type, text, finishReason, toolName, input, error } = part;
    const [usage, totalUsage] = [counted(part.usage), counted(part.totalUsage)];
    seen.push({ type, text, usage, totalUsage, finishReason, toolName, input, error: error && (error.name ?? error) });
  }
  return seen;
};

const scenarios = {};
for (const [name, model] of Object.entries(models)) {
  scenarios[`${name}: text`] = () => whole(model, 'text');
  scenarios[`${name}: tool`] = () => whole(model, 'tool');
  scenarios[`${name}: stream`] = () => streamed(model, 'text');
  scenarios[`${name}: stream with a tool`] = () => streamed(model, 'tool');
  scenarios[`${name}: stream with an error in it`] = () => streamed(model, 'breaks');
  scenarios[`${name}: wrong`] = () => whole(model, 'wrong');
  scenarios[`${name}: limited`] = () => streamed(model, 'limited');
}
await results(scenarios);
