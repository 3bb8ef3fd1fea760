// The standard price list in JavaScript: base × complexity + add-ons, rounded half up to a whole credit.
//
// Copy this folder to write a plugin of your own. Amounts are BigInt micro-credits, so they are exact: a credit is
// 1_000_000n. Factors are thousandths: 1.5 is 1500. Never use a Number with a decimal point for money.

const CREDIT = 1_000_000n;
// Complexity of a text by its length in UTF-16 code units: under each length the factor beside it.
const STEPS = [[100n, 1_000], [500n, 1_200], [1_000n, 1_500], [2_000n, 2_000]];
// The factor of any longer text.
const LONGEST = 2_500;

export const priceList = {
  describe() {
    return { name: "standard-javascript", version: "1.0.0", eventTypes: [], settlesBy: "quote" };
  },

  // The most that the call can cost, item by item. The items must add up to the total.
  quote({ definition, signals }) {
    const { base, complexity: clamp } = definition;
    const factor = clamp ? Math.min(Math.max(complexity(signals.textUnits), clamp.min), clamp.max) : 1_000;
    const addOns = definition.addOns.filter(({ flag }) => signals.flags.includes(flag));
    // Exact: in thousandths of a micro-credit until it is rounded, once.
    const scaled = base * BigInt(factor);
    const exact = scaled + sum(addOns) * 1_000n;
    const total = floor(exact * 2n + CREDIT * 1_000n, CREDIT * 2_000n) * CREDIT;

    const items = [{ label: "base", price: base }];
    if (factor !== 1_000) items.push({ label: `complexity x${(factor / 1_000).toFixed(3)}`, price: scaled / 1_000n - base });
    items.push(...addOns.map(({ flag, price }) => ({ label: flag, price })));
    const rounding = total - sum(items);
    if (rounding !== 0n) items.push({ label: "rounding", price: rounding });
    return { total: checked(total), items: items.map(({ label, price }) => ({ label, price: checked(price) })) };
  },

  // What the call did cost. This plugin settles by its quote, so it is not asked.
  settle(_call, quoted) {
    return { tag: "charge", val: quoted };
  },
};

const complexity = (units) => STEPS.find(([length]) => units < length)?.[1] ?? LONGEST;
const sum = (items) => items.reduce((sum, { price }) => sum + price, 0n);
const floor = (amount, unit) => (amount - (((amount % unit) + unit) % unit)) / unit;

// An amount has 64 bits. What is thrown is a refusal: "decline" tells the caller, "misconfigured" the operator.
function checked(amount) {
  if (BigInt.asIntN(64, amount) === amount) return amount;
  throw { tag: "misconfigured", val: "the price is out of range" };
}
