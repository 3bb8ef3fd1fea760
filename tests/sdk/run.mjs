// Asks each client for the same things twice, at the backend itself and through the gateway, and fails unless it got the
// same both times. `node run.mjs GATEWAY PYTHON PLUGIN`, as scripts/sdk does; SDK_ONLY=vercel_client.mjs runs one of them.

import { execFile, spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual, promisify } from 'node:util';
import { startBackend } from './backend.mjs';

const [gatewayProgram, python, plugin] = process.argv.slice(2);
const CLIENTS = ['openai_client.py', 'anthropic_client.py', 'openai_client.mjs', 'anthropic_client.mjs', 'vercel_client.mjs'];
const PATHS = ['openai/chat/completions', 'openai/completions', 'openai/embeddings', 'openai/responses', 'anthropic/v1/messages'];
const OURS = ['creditsConsumed', 'remainingCredits', 'usageEventId', 'warning'];
const PRICE = 12;
const SECRET = randomBytes(32).toString('hex');

/** HS256, valid for an hour. */
function credential(claims) {
  const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const signed = `${encoded({ alg: 'HS256', typ: 'JWT' })}.${encoded({ iss: 'sdk', aud: 'gateway', exp, ...claims })}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

async function freePort() {
  const server = createServer();
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

async function startGateway(folder, backend) {
  const [port, admin] = [await freePort(), await freePort()];
  writeFileSync(join(folder, 'secret'), SECRET);
  const routes = PATHS.map((path) => `[[routes]]\nmethods = ["POST"]\npath = "/api/organizations/{orgId}/${path}"\nevent_type = "solutioning_ai_enhance"\n`);
  writeFileSync(join(folder, 'gateway.toml'), `[server]
listen = "127.0.0.1:${port}"
[upstream]
url = "http://127.0.0.1:${backend}"
[admin]
listen = "127.0.0.1:${admin}"
[database]
url = "sqlite:${join(folder, 'usage.db')}"
[journal]
directory = "${join(folder, 'journal')}"
[auth]
issuer = "sdk"
audience = "gateway"
hs256_secret_file = "${join(folder, 'secret')}"
[pricing]
plugin = "${resolve(plugin)}"
[log]
level = "warn"
${routes.join('')}`);
  const child = spawn(gatewayProgram, ['--config', join(folder, 'gateway.toml')], { stdio: 'inherit' });
  const ended = new Promise((done) => child.once('exit', done));
  const base = `http://127.0.0.1:${port}`;
  for (let attempt = 0; ; attempt += 1) {
    const answer = await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => null);
    if (answer?.ok) break;
    if (child.exitCode !== null || attempt > 200) throw new Error('the gateway does not start');
    await new Promise((next) => setTimeout(next, 50));
  }
  return { base, stop: () => (child.kill('SIGTERM'), ended) };
}

async function administer(base, path, body) {
  const headers = { Authorization: `Bearer ${credential({ sub: 'operator', platform_admin: true })}` };
  const answer = await fetch(`${base}/api/admin/organizations/${path}`, { method: 'PUT', headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
}

async function settleIn(base, organization, usageLimits) {
  await administer(base, organization, { name: organization, plan: 'professional', subscriptionStatus: 'active', usageLimits });
  await administer(base, `${organization}/members/ann`, { role: 'owner' });
}

/** What a client program makes of the answers at a base address. */
async function told(client, base) {
  const program = client.endsWith('.py') ? python : process.execPath;
  const env = { ...process.env, BASE: base, KEY: credential({ sub: 'ann' }) };
  const { stdout } = await promisify(execFile)(program, [join(import.meta.dirname, client)], { env, maxBuffer: 64 << 20 });
  return JSON.parse(stdout);
}

/** The same, less what the gateway adds to `usage` of a JSON answer. */
function withoutOurs(value) {
  if (Array.isArray(value)) return value.map(withoutOurs);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).filter(([name]) => !OURS.includes(name)).map(([name, inner]) => [name, withoutOurs(inner)]));
}

/** How many scenarios gave something else. */
function differences(client, direct, through) {
  const names = Object.keys(direct).filter((name) => !isDeepStrictEqual(withoutOurs(through[name]), direct[name]));
  for (const name of names) {
    console.log(`${client}: "${name}" differs\n  at the backend     ${JSON.stringify(direct[name])}\n  through the gateway ${JSON.stringify(through[name])}`);
  }
  console.log(`${client}: ${Object.keys(direct).length} scenarios, ${names.length} differ`);
  return names.length;
}

/** What each client says where credit lacks: the gateway's status and, where it shows bodies, its sentence. */
async function refused(client, base) {
  const answers = Object.values(await told(client, base));
  const says = (answer, text) => JSON.stringify(answer).includes(text);
  const shown = answers.filter((answer) => says(answer, 'Credit limit exceeded') || says(answer, '"AI_APICallError"'));
  console.log(`${client}: ${shown.length} of ${answers.length} calls without credit end with the refusal`);
  return answers.length - shown.length;
}

/** The charges, once the last stream that was left early is settled. */
async function charged(base) {
  const headers = { Authorization: `Bearer ${credential({ sub: 'ann' })}` };
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const { usage } = await (await fetch(`${base}/api/organizations/acme/usage`, { headers })).json();
    if (usage.held === 0) return usage.used;
    await new Promise((next) => setTimeout(next, 25));
  }
  throw new Error('a hold stays');
}

const folder = mkdtempSync(join(tmpdir(), 'gateway-sdk-'));
const backend = await startBackend();
const gateway = await startGateway(folder, backend.port);
let wrong = 0;
try {
  await settleIn(gateway.base, 'acme', { monthlyCredits: -1 });
  await settleIn(gateway.base, 'poor', { monthlyCredits: 1 });
  const chosen = CLIENTS.filter((name) => [undefined, name].includes(process.env.SDK_ONLY));
  if (chosen.length === 0) throw new Error(`SDK_ONLY is none of ${CLIENTS.join(', ')}`);
  for (const client of chosen) {
    const direct = await told(client, `http://127.0.0.1:${backend.port}/api/organizations/acme`);
    const [before, used] = [backend.counted.succeeded, await charged(gateway.base)];
    wrong += differences(client, direct, await told(client, `${gateway.base}/api/organizations/acme`));
    const [calls, credits] = [backend.counted.succeeded - before, (await charged(gateway.base)) - used];
    if (credits !== calls * PRICE) wrong += 1;
    console.log(`${client}: ${calls} calls succeeded, ${credits} credits were charged`);
    const reached = backend.counted.calls;
    wrong += await refused(client, `${gateway.base}/api/organizations/poor`);
    if (backend.counted.calls !== reached) wrong += 1;
  }
} finally {
  await gateway.stop();
  backend.stop();
  rmSync(folder, { recursive: true });
}
console.log(wrong === 0 ? 'All clients get the same through the gateway.' : `${wrong} things are not as they should be.`);
process.exitCode = wrong === 0 ? 0 : 1;
