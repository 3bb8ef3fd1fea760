// Makes the plugins of this folder: each does everything right but for one thing that no toolchain makes by itself. The
// host's tests load them; the files are committed, so that tests need no WebAssembly tools.
//
// node build.mjs, once `npm ci` has been run in ../javascript.

import { readFileSync, writeFileSync } from "node:fs";
import { componentEmbed, componentNew, parse } from "../javascript/node_modules/@bytecodealliance/jco/dist/api.js";

const grown = (elements) => ({
  fields: "(table $t 1 funcref)",
  quote: `(drop (table.grow $t (ref.null func) (i32.const ${elements})))`,
});
// The longer a function branches back and forth, the longer it takes to compile.
const branches =
  "(block (loop (br_if 1 (local.get 0)) (local.set 0 (i32.popcnt (i32.mul (local.get 0) (local.get 0)))) (br_if 0 (local.get 0))))";

const flaws = {
  none: {},
  slow_start: { fields: "(func $s (loop (br 0))) (start $s)" },
  trap_at_start: { fields: "(func $s unreachable) (start $s)" },
  recursion_at_start: { fields: "(func $s (call $s)) (start $s)" },
  slow_introduction: { describe: "(loop (br 0))" },
  memory_growth: { quote: "(drop (memory.grow (i32.const 300)))" },
  pointer_to_nowhere: { quote: "(return (i32.const -8))" },
  table_growth: grown(20_000),
  // Tables may have 16384 elements, all together.
  table_growth_to_the_limit: grown(16_383),
  table_growth_past_the_limit: grown(16_384),
  table_at_the_limit: { fields: "(table 16384 funcref)" },
  table_past_the_limit: { fields: "(table 16385 funcref)" },
  // A module of a small plugin has one.
  two_tables: { fields: "(table 8192 funcref) (table 8192 funcref)" },
  long_to_compile: { fields: `(func (param i32) (result i32) ${branches.repeat(1_500)} (local.get 0))` },
};

// Answers of the contract as they lie in memory: a description, and a price of one credit with one item.
const module = ({ fields = "", describe = "", quote = "" }) => `(module
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 4096))
  (data (i32.const 1024) "\\4c\\04\\00\\00\\04\\00\\00\\00\\50\\04\\00\\00\\01\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00")
  (data (i32.const 1100) "flaw1base")
  (data (i32.const 1200) "\\00\\00\\00\\00\\00\\00\\00\\00\\40\\42\\0f\\00\\00\\00\\00\\00\\18\\05\\00\\00\\01\\00\\00\\00")
  (data (i32.const 1304) "\\51\\04\\00\\00\\04\\00\\00\\00\\40\\42\\0f\\00\\00\\00\\00\\00")
  ${fields}
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get 3))))
  (func (export "gateway:pricing/price-list@1.0.0#describe") (result i32) ${describe} (i32.const 1024))
  (func (export "gateway:pricing/price-list@1.0.0#quote") (param i32) (result i32) ${quote} (i32.const 1200))
  (func (export "gateway:pricing/price-list@1.0.0#settle") (param i32) (result i32) unreachable))`;

const here = (name) => new URL(name, import.meta.url);
const witSource = readFileSync(here("../wit/pricing.wit"), "utf8");
for (const [name, flaw] of Object.entries(flaws)) {
  const binary = await componentEmbed({ binary: await parse(module(flaw)), witSource, world: "plugin" });
  writeFileSync(here(`${name}.wasm`), await componentNew(binary, []));
}
