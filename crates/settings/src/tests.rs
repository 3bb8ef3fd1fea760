use std::time::Duration;

use super::*;

const SHORTEST: &str = r#"
[upstream]
url = "http://127.0.0.1:5000"
[auth]
issuer = "i"
audience = "a"
jwks = "jwks.json"
[pricing]
plugin = "standard.wasm"
"#;

fn read(text: &str) -> Result<Settings, Faults> {
    parse("test.toml", text, [])
}

fn faults(text: &str) -> String {
    read(text).err().map(|faults| faults.to_string()).unwrap_or_default()
}

fn with_env(env: &[(&str, &str)]) -> Result<Settings, Faults> {
    parse("test.toml", SHORTEST, env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn shipped(name: &str) -> (String, Settings) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(name);
    (std::fs::read_to_string(&path).unwrap(), load(&path, []).unwrap())
}

#[test]
fn the_annotated_file_shows_every_key_with_its_default() {
    let (text, shown) = shipped("gateway.toml");
    let defaults = read(SHORTEST).unwrap();
    assert_eq!(shown.routes.len(), 10);
    let same = Settings { auth: defaults.auth.clone(), pricing: Pricing { plugin: defaults.pricing.plugin.clone(), ..shown.pricing.clone() }, routes: Vec::new(), ..shown };
    assert_eq!(same, defaults);
    let no_keys = parse("x", &text.replace('=', " = "), []).unwrap();
    assert_eq!(no_keys.auth.leeway, defaults.auth.leeway);
    // Whatever a section calls allowed must be in the file.
    for section in ["server", "upstream", "admin", "database", "journal", "auth", "pricing", "settlement", "log"] {
        let probed = faults(&format!("[{section}]\nno_such_key = 1\n"));
        let line = probed.lines().find(|line| line.contains("no_such_key")).unwrap();
        for key in line.split("allowed: ").nth(1).unwrap().split(", ").filter(|key| *key != "hs256_secret") {
            assert!(text.contains(&format!("{key} = ")), "{section}.{key} is not in config/gateway.toml");
        }
    }
}

#[test]
fn the_shortest_file_is_enough() {
    let (_, settings) = shipped("sidecar.toml");
    assert_eq!(settings.routes.len(), 1);
    assert_eq!(settings.server.max_body, 10 << 20);
}

#[test]
fn the_contracts_sample_is_read() {
    let settings = read(
        r#"
        [server]
        listen = "127.0.0.1:8080"
        max_body = "10MiB"
        max_in_flight = 4096
        [upstream]
        url = "http://127.0.0.1:5000"
        connect_timeout = "2s"
        response_timeout = "120s"
        idle_timeout = "4s"
        [admin]
        listen = "127.0.0.1:8081"
        embedded = true
        [database]
        url = "sqlite:data/usage.db"
        [auth]
        issuer = "i"
        audience = "a"
        hs256_secret_file = "secret"
        cookie = "session"
        [pricing]
        plugin = "standard.wasm"
        [[routes]]
        methods = ["POST"]
        path = "/api/organizations/{orgId}/structuring/analyze-pain-points"
        event_type = "structuring_diagnose"
        text = ["/content"]
        flags = ["/echo", "/traceback"]
        session = "/sessionId"
        "#,
    );
    let settings = settings.unwrap();
    assert_eq!(settings.upstream.port, 5_000);
    assert_eq!(settings.routes[0].flags, ["/echo", "/traceback"]);
}

#[test]
fn every_fault_is_named_at_once_with_its_place() {
    let said = faults(
        r#"[server]
listen = "here"
max_body = "ten"
max_in_flight = 0
mx_body = 1
[upstream]
url = "http://app/path"
idle_timeout = "forever"
[auth]
issuer = ""
hs256_secret = "in the open"
[pricing]
[settlement]
timeout = "maybe"
[log]
level = "loud"
[databse]
url = "x"
"#,
    );
    insta::assert_snapshot!(said);
    assert!(!said.contains("in the open"));
}

#[test]
fn routes_that_cannot_be_meant_are_refused() {
    let route = |keys: &str| faults(&format!("{SHORTEST}\n[[routes]]\n{keys}"));
    let cases = [
        ("path = \"/a/{orgId}\"\nevent_type = \"e\"", "routes[0].methods: is missing"),
        ("methods = [\"post\"]\npath = \"/a/{orgId}\"\nevent_type = \"e\"", "routes[0].methods"),
        ("methods = [\"POST\"]\nevent_type = \"e\"", "routes[0].path: is missing"),
        ("methods = [\"POST\"]\npath = \"/a\"\nevent_type = \"e\"", "routes[0].path: is \"/a\""),
        ("methods = [\"POST\"]\npath = \"/a/{orgId}/{orgId}\"\nevent_type = \"e\"", "routes[0].path"),
        ("methods = [\"POST\"]\npath = \"/a//{orgId}\"\nevent_type = \"e\"", "routes[0].path"),
        ("methods = [\"POST\"]\npath = \"/a/../{orgId}\"\nevent_type = \"e\"", "routes[0].path"),
        ("methods = [\"POST\"]\npath = \"/a/{orgId}/%2f\"\nevent_type = \"e\"", "routes[0].path"),
        ("methods = [\"POST\"]\npath = \"/a/{orgId}\"", "routes[0].event_type: is missing"),
        ("methods = [\"POST\"]\npath = \"/a/{orgId}\"\nevent_type = \"e\"\ntext = [\"content\"]", "routes[0].text: has \"content\""),
        ("methods = [\"POST\"]\npath = \"/a/{orgId}\"\nevent_type = \"e\"\nsession = \"s\"", "routes[0].session"),
        ("methods = [\"POST\"]\npath = \"/a/{orgId}\"\nevent_type = \"e\"\nprice = 5", "routes[0].price: is unknown"),
        (
            "methods = [\"POST\"]\npath = \"/a/{orgId}/{x}\"\nevent_type = \"e\"\n[[routes]]\nmethods = [\"GET\", \"POST\"]\npath = \"/a/{orgId}/{y}\"\nevent_type = \"e\"",
            "routes[1].path: matches the same requests",
        ),
    ];
    for (keys, want) in cases {
        let said = route(keys);
        assert!(said.contains(want), "{keys}\n{said}");
    }
}

#[test]
fn the_environment_goes_over_the_file() {
    let settings = with_env(&[
        ("GATEWAY__SERVER__LISTEN", "0.0.0.0:80"),
        ("GATEWAY__SERVER__MAX_BODY", "1KiB"),
        ("GATEWAY__SERVER__MAX_IN_FLIGHT", "7"),
        ("GATEWAY__ADMIN__EMBEDDED", "false"),
        ("GATEWAY__AUTH__ISSUER", "123"),
        ("GATEWAY__AUTH__HS256_SECRET", "a secret from the environment, long"),
        ("GATEWAY__ROUTES", r#"[{ methods = ["POST"], path = "/x/{orgId}", event_type = "e" }]"#),
        ("HOME", "/root"),
    ])
    .unwrap();
    assert_eq!(settings.server.listen.to_string(), "0.0.0.0:80");
    assert_eq!((settings.server.max_body, settings.server.max_in_flight), (1_024, 7));
    assert!(!settings.admin.embedded);
    assert_eq!(settings.auth.issuer, "123");
    assert_eq!(settings.routes[0].path, "/x/{orgId}");
    assert!(!format!("{settings:?}").contains("a secret from the environment"));
    let said = with_env(&[("GATEWAY__SERVER__LISTN", "x"), ("GATEWAY__SERVER__MAX_BODY", "ten")]).unwrap_err().to_string();
    assert!(said.contains("GATEWAY__SERVER__LISTN: server.listn: is unknown; allowed: listen"), "{said}");
    assert!(said.contains("GATEWAY__SERVER__MAX_BODY: server.max_body: is \"ten\""), "{said}");
}

#[test]
fn limits_hold_at_their_bounds_and_not_past_them() {
    let server = |key: &str, value: &str| faults(&format!("{SHORTEST}\n[server]\n{key} = {value}")).is_empty();
    for (key, inside, outside) in [
        ("max_body", ["1", "\"1GiB\""], ["0", "1073741825"]),
        ("max_in_flight", ["1", "1000000"], ["0", "1000001"]),
        ("body_timeout", ["\"1ms\"", "\"1h\""], ["\"0ms\"", "\"3601s\""]),
        ("shutdown_grace", ["\"0s\"", "\"1h\""], ["\"3600001ms\"", "\"-1s\""]),
        ("threads", ["0", "1024"], ["-1", "1025"]),
    ] {
        assert!(inside.iter().all(|value| server(key, value)), "{key}");
        assert!(!outside.iter().any(|value| server(key, value)), "{key}");
    }
}

#[test]
fn what_is_no_toml_says_its_line() {
    assert!(faults("[server]\nlisten = \n").starts_with("test.toml:2: "), "{}", faults("[server]\nlisten = \n"));
    let missing = load(Path::new("/nowhere/gateway.toml"), []).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/gateway.toml: "), "{missing}");
}

#[test]
fn ports_must_differ_unless_the_system_picks_them() {
    let both = |port: u16| faults(&format!("{SHORTEST}\n[server]\nlisten = \"127.0.0.1:{port}\"\n[admin]\nlisten = \"127.0.0.1:{port}\""));
    assert!(both(9_000).contains("admin.listen: is also server.listen"));
    assert_eq!(both(0), "");
}

#[test]
fn a_reload_names_what_it_cannot_change() {
    let old = read(SHORTEST).unwrap();
    let mut new = old.clone();
    new.server.max_body = 1;
    new.server.body_timeout = Duration::from_secs(1);
    new.settlement.timeout = Verdict::Capture;
    assert!(new.fixed_keys_changed(&old).is_empty());
    new.server.listen = "127.0.0.1:1".parse().unwrap();
    new.database.url = "sqlite:other.db".to_owned();
    assert_eq!(new.fixed_keys_changed(&old), ["server.listen", "database"]);
}
