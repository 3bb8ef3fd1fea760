"""The standard price list in Python: base × complexity + add-ons, rounded half up to a whole credit.

Copy this folder to write a plugin of your own. Amounts are int micro-credits, so they are exact: a credit is
1_000_000. Factors are thousandths: 1.5 is 1500. Never use a float for money.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.price_list import (
    Basis, Call, Description, Item, Outcome, Price, Refusal_Misconfigured, Settlement, Settlement_Charge,
)

CREDIT = 1_000_000
# Complexity of a text by its length in UTF-16 code units: under each length the factor beside it.
STEPS = [(100, 1_000), (500, 1_200), (1_000, 1_500), (2_000, 2_000)]
# The factor of any longer text.
LONGEST = 2_500


class PriceList(exports.PriceList):
    def describe(self) -> Description:
        return Description("standard-python", "1.0.0", [], Basis.QUOTE)

    def quote(self, call: Call) -> Price:
        """The most that the call can cost, item by item. The items must add up to the total."""
        base, clamp = call.definition.base, call.definition.complexity
        factor = min(max(complexity(call.signals.text_units), clamp.min), clamp.max) if clamp else 1_000
        add_ons = [it for it in call.definition.add_ons if it.flag in call.signals.flags]
        # Exact: in thousandths of a micro-credit until it is rounded, once.
        scaled = base * factor
        exact = scaled + sum(it.price for it in add_ons) * 1_000
        total = (exact * 2 + CREDIT * 1_000) // (CREDIT * 2_000) * CREDIT

        items = [Item("base", base)]
        if factor != 1_000:
            items.append(Item(f"complexity x{factor // 1_000}.{factor % 1_000:03}", scaled // 1_000 - base))
        items += [Item(it.flag, it.price) for it in add_ons]
        rounding = total - sum(it.price for it in items)
        if rounding != 0:
            items.append(Item("rounding", rounding))
        # An amount has 64 bits. What is raised is a refusal: Refusal_Decline tells the caller, this one the operator.
        if any(not -(2**63) <= amount < 2**63 for amount in [total, *(it.price for it in items)]):
            raise Err(Refusal_Misconfigured("the price is out of range"))
        return Price(total, items)

    def settle(self, call: Call, quoted: Price, outcome: Outcome) -> Settlement:
        """What the call did cost. This plugin settles by its quote, so it is not asked."""
        return Settlement_Charge(quoted)


def complexity(units: int) -> int:
    return next((factor for length, factor in STEPS if units < length), LONGEST)
