// A backend that answers as the APIs of OpenAI and Anthropic do, in JSON and in streams. It knows no model: what a call
// asks for by its last message decides which answer it gets. It must never be part of a deployment.

import { createServer } from 'node:http';

const TEXT = ['Hello', ', ', 'wörld', ' 🌍', '. "usage": {}', '\n\ndata: [DONE] is only text'];
const MODEL = 'a-model';
const CHAT_USAGE = { prompt_tokens: 19, completion_tokens: 10, total_tokens: 29, prompt_tokens_details: { cached_tokens: 3, audio_tokens: 0 }, completion_tokens_details: { reasoning_tokens: 4, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 } };
const RESPONSES_USAGE = { input_tokens: 81, input_tokens_details: { cached_tokens: 64 }, output_tokens: 35, output_tokens_details: { reasoning_tokens: 12 }, total_tokens: 116 };
const ANTHROPIC_USAGE = { input_tokens: 25, cache_creation_input_tokens: 0, cache_read_input_tokens: 7, output_tokens: 15, service_tier: 'standard' };
const TOOL = { name: 'weather', arguments: ['{"ci', 'ty":"Pa', 'ris"}'] };

/** Starts a backend on a free port; `calls` counts what it was asked. */
export async function startBackend() {
  const counted = { calls: 0, succeeded: 0 };
  const server = createServer((request, response) => answer(request, response, counted).catch((why) => response.destroy(why)));
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  return { port: server.address().port, counted, stop: () => { server.closeAllConnections(); server.close(); } };
}

async function answer(request, response, counted) {
  let text = '';
  for await (const piece of request) text += piece;
  const body = JSON.parse(text || '{}');
  const path = new URL(request.url, 'http://backend').pathname.replace(/^\/api\/organizations\/[^/]+/, '');
  const kind = asked(body);
  counted.calls += 1;
  const failure = FAILURES[kind];
  if (failure) return send(response, failure.status, path.startsWith('/anthropic') ? failure.anthropic : failure.openai, failure.headers);
  const make = ANSWERS[path];
  if (!make) return send(response, 404, { error: { message: `nothing at ${path}`, type: 'invalid_request_error', param: null, code: null } });
  counted.succeeded += 1;
  const made = make(body, kind);
  return made.events ? stream(response, made.events, kind) : send(response, 200, made.json);
}

/** The text of the last message: a word such as `tool`, `limited` or `breaks`. */
function asked(body) {
  const last = body.messages?.at(-1)?.content ?? body.input ?? body.prompt ?? '';
  const piece = Array.isArray(last) ? last.at(-1) : last;
  return piece?.content?.[0]?.text ?? piece?.content ?? piece?.text ?? piece;
}

const FAILURES = {
  wrong: both(400, 'invalid_request_error', 'That is wrong.'),
  limited: both(429, 'rate_limit_error', 'Slow down.', { 'retry-after': '1' }),
  broken: both(500, 'api_error', 'It broke.'),
};

function both(status, type, message, headers = {}) {
  const openai = { error: { message, type, param: null, code: 'a_code' } };
  return { status, headers, openai, anthropic: { type: 'error', error: { type, message }, request_id: 'req_1' } };
}

function send(response, status, value, headers = {}) {
  const body = JSON.stringify(value);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), ...headers });
  response.end(body);
}

/** Events in small pieces, so that they are cut where no event ends. */
async function stream(response, events, kind) {
  response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache' });
  const bytes = Buffer.from(events.map(([name, data]) => {
    const line = name === ':' ? `: ${data}` : `data: ${typeof data === 'string' ? data : JSON.stringify(data)}`;
    return `${name && name !== ':' ? `event: ${name}\n` : ''}${line}\n\n`;
  }).join(''));
  for (let at = 0; at < bytes.length; at += 101) {
    if (response.destroyed) return;
    response.write(bytes.subarray(at, at + 101));
    await new Promise((next) => setImmediate(next));
  }
  if (kind === 'cut') response.destroy();
  else response.end();
}

const ANSWERS = {
  '/openai/chat/completions': (body, kind) => (body.stream ? { events: chatEvents(body, kind) } : { json: chat(kind) }),
  '/openai/completions': (body) => (body.stream ? { events: completionEvents() } : { json: completion() }),
  '/openai/embeddings': (body) => ({ json: embeddings(body) }),
  '/openai/responses': (body, kind) => (body.stream ? { events: responseEvents(kind) } : { json: response('completed', kind) }),
  '/anthropic/v1/messages': (body, kind) => (body.stream ? { events: messageEvents(kind) } : { json: message(kind) }),
};

// ── OpenAI: chat ──

const TOOL_CALL = { id: 'call_1', type: 'function', function: { name: TOOL.name, arguments: TOOL.arguments.join('') } };

function content(kind) {
  return kind === 'structured' ? '{"city":"Paris","degrees":21}' : TEXT.join('');
}

function chat(kind) {
  const tool = kind === 'tool';
  const said = { role: 'assistant', content: tool ? null : content(kind), refusal: null, annotations: [], ...(tool && { tool_calls: [TOOL_CALL] }) };
  return { id: 'chatcmpl-1', object: 'chat.completion', created: 1741569952, model: MODEL, choices: [{ index: 0, message: said, logprobs: null, finish_reason: tool ? 'tool_calls' : 'stop' }], usage: CHAT_USAGE, service_tier: 'default' };
}

function chatEvents(body, kind) {
  const chunk = (delta, finish_reason = null) => ['', { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1741569952, model: MODEL, choices: [{ index: 0, delta, logprobs: null, finish_reason }], ...(body.stream_options?.include_usage && { usage: null }) }];
  const events = [[':', 'heartbeat'], chunk({ role: 'assistant', content: '' })];
  if (kind === 'tool') {
    events.push(chunk({ tool_calls: [{ index: 0, ...TOOL_CALL, function: { name: TOOL.name, arguments: '' } }] }));
    events.push(...TOOL.arguments.map((piece) => chunk({ tool_calls: [{ index: 0, function: { arguments: piece } }] })));
  } else {
    events.push(...(kind === 'structured' ? [content(kind)] : TEXT).map((piece) => chunk({ content: piece })));
  }
  if (kind === 'breaks') return [...events, ['', { error: { message: 'It broke.', type: 'server_error', code: 'a_code' } }]];
  if (kind === 'cut') return events;
  events.push(chunk({}, kind === 'tool' ? 'tool_calls' : 'stop'));
  if (body.stream_options?.include_usage) events.push(['', { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1741569952, model: MODEL, choices: [], usage: CHAT_USAGE }]);
  return [...events, ['', '[DONE]']];
}

// ── OpenAI: completions, embeddings ──

function completion() {
  return { id: 'cmpl-1', object: 'text_completion', created: 1589478378, model: MODEL, choices: [{ text: TEXT.join(''), index: 0, logprobs: null, finish_reason: 'stop' }], usage: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 } };
}

function completionEvents() {
  const chunk = (text, finish_reason = null) => ['', { id: 'cmpl-1', object: 'text_completion', created: 1589478378, model: MODEL, choices: [{ text, index: 0, logprobs: null, finish_reason }] }];
  return [...TEXT.map((piece) => chunk(piece)), chunk('', 'stop'), ['', '[DONE]']];
}

function embeddings(body) {
  const floats = [0.5, -0.25, 1e-7, 3];
  const embedding = body.encoding_format === 'base64' ? Buffer.from(new Float32Array(floats).buffer).toString('base64') : floats;
  return { object: 'list', data: [{ object: 'embedding', embedding, index: 0 }], model: MODEL, usage: { prompt_tokens: 8, total_tokens: 8 } };
}

// ── OpenAI: responses ──

function response(status, kind) {
  const done = status === 'completed';
  return { id: 'resp_1', object: 'response', created_at: 1741476542, status, error: null, incomplete_details: null, instructions: null, max_output_tokens: null, model: MODEL, output: done ? [item(kind)] : [], parallel_tool_calls: true, previous_response_id: null, reasoning: { effort: null, summary: null }, temperature: 1, text: { format: { type: 'text' } }, tool_choice: 'auto', tools: [], top_p: 1, truncation: 'disabled', usage: done ? RESPONSES_USAGE : null, user: null, metadata: {} };
}

function item(kind, whole = true) {
  if (kind === 'tool') return { type: 'function_call', id: 'fc_1', call_id: 'call_1', name: TOOL.name, arguments: whole ? TOOL.arguments.join('') : '', status: whole ? 'completed' : 'in_progress' };
  return { type: 'message', id: 'msg_1', status: whole ? 'completed' : 'in_progress', role: 'assistant', content: whole ? [part(content(kind))] : [] };
}

function part(text) {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

function responseEvents(kind) {
  const events = [];
  const add = (type, fields) => events.push([type, { type, sequence_number: events.length, ...fields }]);
  const at = { output_index: 0 };
  add('response.created', { response: response('in_progress', kind) });
  add('response.in_progress', { response: response('in_progress', kind) });
  add('response.output_item.added', { ...at, item: item(kind, false) });
  if (kind === 'tool') {
    for (const delta of TOOL.arguments) add('response.function_call_arguments.delta', { ...at, item_id: 'fc_1', delta });
    add('response.function_call_arguments.done', { ...at, item_id: 'fc_1', name: TOOL.name, arguments: TOOL.arguments.join('') });
  } else {
    const where = { ...at, item_id: 'msg_1', content_index: 0 };
    add('response.content_part.added', { ...where, part: part('') });
    for (const delta of kind === 'structured' ? [content(kind)] : TEXT) add('response.output_text.delta', { ...where, delta, logprobs: [] });
    if (kind === 'breaks') {
      add('error', { code: 'server_error', message: 'It broke.', param: null });
      return events;
    }
    add('response.output_text.done', { ...where, text: content(kind), logprobs: [] });
    add('response.content_part.done', { ...where, part: part(content(kind)) });
  }
  add('response.output_item.done', { ...at, item: item(kind) });
  add('response.completed', { response: response('completed', kind) });
  return events;
}

// ── Anthropic: messages ──

const TOOL_USE = { type: 'tool_use', id: 'toolu_1', name: TOOL.name, input: { city: 'Paris' } };

function message(kind) {
  const said = kind === 'tool' ? TOOL_USE : { type: 'text', text: content(kind) };
  return { id: 'msg_1', type: 'message', role: 'assistant', model: MODEL, content: [said], stop_reason: kind === 'tool' ? 'tool_use' : 'end_turn', stop_sequence: null, usage: ANTHROPIC_USAGE };
}

function messageEvents(kind) {
  const events = [];
  const add = (type, fields = {}) => events.push([type, { type, ...fields }]);
  add('message_start', { message: { ...message(kind), content: [], stop_reason: null, usage: { ...ANTHROPIC_USAGE, output_tokens: 1 } } });
  add('ping');
  if (kind === 'tool') {
    add('content_block_start', { index: 0, content_block: { ...TOOL_USE, input: {} } });
    for (const partial_json of TOOL.arguments) add('content_block_delta', { index: 0, delta: { type: 'input_json_delta', partial_json } });
  } else {
    add('content_block_start', { index: 0, content_block: { type: 'text', text: '' } });
    for (const text of kind === 'structured' ? [content(kind)] : TEXT) add('content_block_delta', { index: 0, delta: { type: 'text_delta', text } });
  }
  if (kind === 'breaks') {
    add('error', { error: { type: 'overloaded_error', message: 'Overloaded' } });
    return events;
  }
  if (kind === 'cut') return events;
  add('content_block_stop', { index: 0 });
  add('message_delta', { delta: { stop_reason: kind === 'tool' ? 'tool_use' : 'end_turn', stop_sequence: null }, usage: { output_tokens: 15 } });
  add('message_stop');
  return events;
}
