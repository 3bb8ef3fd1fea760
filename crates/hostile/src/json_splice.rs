//! `usage` in a JSON answer.

use serde_json::Value;

const USAGE: &str = r#"{"creditsConsumed":1,"usageEventId":"evt_1"}"#;

/// What is spliced is still JSON, has our `usage`, and is otherwise what it was.
pub fn json_splice(body: &[u8]) {
    let Some(spliced) = payload::splice::splice_usage(body, USAGE) else { return };
    // What serde_json does not read, such as a number past its range, is no business of this property.
    let Ok(Value::Object(mut before)) = serde_json::from_slice(body) else { return };
    let after = serde_json::from_slice(&spliced);
    assert!(matches!(after, Ok(Value::Object(_))), "it is an object no more");
    let Ok(Value::Object(mut after)) = after else { return };
    let usage = after.remove("usage").unwrap_or_default();
    assert_eq!(usage.get("usageEventId"), Some(&Value::from("evt_1")), "our figures are there");
    assert_eq!(usage.get("creditsConsumed"), Some(&Value::from(1)), "our figures are there");
    before.remove("usage");
    assert_eq!(before, after, "the rest is as it was");
}
