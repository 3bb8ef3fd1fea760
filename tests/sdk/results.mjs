// Runs scenarios one after another and prints what each came to, errors included.

/** Prints `{name: result}` as JSON. */
export async function results(scenarios) {
  const told = {};
  for (const [name, scenario] of Object.entries(scenarios)) told[name] = await scenario().catch(failed);
  process.stdout.write(JSON.stringify(told));
}

function failed(error) {
  const inner = error.cause && { cause: error.cause.name };
  return { error: error.name, message: error.message, status: error.status ?? error.statusCode, code: error.code, ...inner };
}
