//! Numbers, and the bounds of each.

use super::*;

#[test]
fn limits_hold_at_their_bounds_and_not_past_them() {
    let fits = |section: &str, key: &str, value: &str| {
        let name = format!("GATEWAY__{}__{}", section.to_uppercase(), key.to_uppercase());
        with_env(&[(&name, value)]).is_ok()
    };
    for (section, key, inside, outside) in [
        ("server", "max_body", ["1", "1GiB"], ["0", "1073741825"]),
        ("server", "max_in_flight", ["1", "1000000"], ["0", "1000001"]),
        ("server", "max_arriving", ["10MiB", "1024GiB"], ["10485759", "1099511627777"]),
        ("server", "body_timeout", ["1ms", "1h"], ["0ms", "3600001ms"]),
        ("server", "shutdown_grace", ["0s", "1h"], ["-1s", "3600001ms"]),
        ("server", "threads", ["0", "1024"], ["-1", "1025"]),
        ("upstream", "health_interval", ["100ms", "300s"], ["99ms", "300001ms"]),
        ("upstream", "connect_timeout", ["1ms", "300s"], ["0ms", "300001ms"]),
        ("upstream", "response_timeout", ["1ms", "1h"], ["0ms", "3600001ms"]),
        ("upstream", "idle_timeout", ["0ms", "1h"], ["-1ms", "3600001ms"]),
        ("upstream", "max_response", ["1", "1GiB"], ["0", "1073741825"]),
        ("journal", "max_bytes", ["1MiB", "1024GiB"], ["1048575", "1099511627777"]),
        ("journal", "min_free_disk", ["0", "1024GiB"], ["-1", "1099511627777"]),
        ("idempotency", "window", ["1m", "168h"], ["59999ms", "604800001ms"]),
        ("idempotency", "wait", ["0s", "60s"], ["-1s", "60001ms"]),
        ("idempotency", "max_answer", ["0", "64MiB"], ["-1", "67108865"]),
        ("idempotency", "max_keys", ["1", "10000000"], ["0", "10000001"]),
        ("idempotency", "max_stored", ["0", "1024GiB"], ["-1", "1099511627777"]),
        ("auth", "leeway", ["0s", "10m"], ["-1s", "600001ms"]),
        ("auth", "jwks_refresh", ["1s", "24h"], ["999ms", "86400001ms"]),
        ("pricing", "max_memory", ["1MiB", "1GiB"], ["1048575", "1073741825"]),
        ("pricing", "max_table_elements", ["1024", "1000000"], ["1023", "1000001"]),
        ("pricing", "max_time", ["5ms", "10s"], ["4ms", "10001ms"]),
        ("pricing", "max_compile_time", ["1s", "10m"], ["999ms", "600001ms"]),
        ("pricing", "max_credits_per_call", ["1", "1000000000"], ["0", "1000000001"]),
    ] {
        assert!(inside.iter().all(|value| fits(section, key, value)), "{section}.{key}");
        assert!(!outside.iter().any(|value| fits(section, key, value)), "{section}.{key}");
    }
    let routes = |count: usize| {
        let route =
            |number| format!("[[routes]]\nmethods = [\"POST\"]\npath = \"/r{number}/{{orgId}}\"\nevent_type = \"e\"\n");
        faults(&format!("{SHORTEST}{}", (0..count).map(route).collect::<String>()))
    };
    assert_eq!(routes(1_000), "");
    assert!(routes(1_001).contains("routes: has 1001 routes; allowed: at most 1000"));
    for key in ["text", "flags", "scalars"] {
        let pointers = |count| format!("{key} = [{}]", vec!["\"/a\""; count].join(", "));
        let route = |count| {
            format!(
                "{SHORTEST}[[routes]]\nmethods = [\"POST\"]\npath = \"/a/{{orgId}}\"\nevent_type = \"e\"\n{}",
                pointers(count)
            )
        };
        assert_eq!(faults(&route(32)), "");
        assert!(faults(&route(33)).contains(&format!("routes[0].{key}: has 33 pointers; allowed: at most 32")));
    }
    let event_type = |bytes: usize| {
        format!(
            "{SHORTEST}[[routes]]\nmethods = [\"POST\"]\npath = \"/a/{{orgId}}\"\nevent_type = \"{}\"",
            "e".repeat(bytes)
        )
    };
    assert_eq!(faults(&event_type(128)), "");
    assert!(faults(&event_type(129)).contains("routes[0].event_type: is"));
}

#[test]
fn numbers_are_read_as_toml_writes_them() {
    let body = |value: &str| {
        read(&format!("{SHORTEST}\n[server]\nmax_body = {value}")).map(|settings| settings.server.max_body)
    };
    assert_eq!((body("1_000").unwrap(), body("0x400").unwrap()), (1_000, 1_024));
    for (value, shown) in
        [("1.5", "1.5"), ("1e3", "1e3"), ("99999999999999999999", "99999999999999999999"), ("[1]", "a list or table")]
    {
        let said = body(value).unwrap_err().to_string();
        assert!(said.starts_with(&format!("test.toml:12: server.max_body: is \"{shown}\"; allowed: ")), "{said}");
    }
}
