//! The files we ship, faults and their places, routes.

use std::time::Duration;

use super::*;

mod environment;
mod limits;

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
    let same = Settings {
        auth: defaults.auth.clone(),
        pricing: Pricing { plugin: defaults.pricing.plugin.clone(), ..shown.pricing.clone() },
        routes: Vec::new(),
        ..shown
    };
    assert_eq!(same, defaults);
    let no_keys = parse("x", &text.replace('=', " = "), []).unwrap();
    assert_eq!(no_keys.auth.leeway, defaults.auth.leeway);
    // Whatever a section calls allowed must be in the file.
    for section in [
        "server",
        "limits",
        "headers",
        "upstream",
        "admin",
        "database",
        "journal",
        "auth",
        "pricing",
        "settlement",
        "log",
    ] {
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
    let backend = Address::Tcp { tls: false, host: "127.0.0.1".to_owned(), port: 5_000 };
    assert_eq!(settings.upstream.addresses, [backend]);
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
        (
            "methods = [\"post\"]\npath = \"/a/{orgId}\"\nevent_type = \"e\"",
            "test.toml:12: routes[0].methods: has \"post\"; allowed: a list of methods in capital letters",
        ),
        (
            "methods = [\"PUT\", \"POS T\"]\npath = \"/a/{orgId}\"\nevent_type = \"e\"",
            "test.toml:12: routes[0].methods: has \"POS T\"; allowed: a list of methods in capital letters",
        ),
        ("methods = []\npath = \"/a/{orgId}\"\nevent_type = \"e\"", "test.toml:12: routes[0].methods: has no method"),
        ("methods = [\"POST\"]\nevent_type = \"e\"", "routes[0].path: is missing"),
        ("methods = [\"POST\"]\npath = \"/a\"\nevent_type = \"e\"", "routes[0].path: is \"/a\""),
        ("methods = [\"POST\"]\npath = \"/a/{orgId}/{orgId}\"\nevent_type = \"e\"", "routes[0].path"),
        ("methods = [\"POST\"]\npath = \"/a//{orgId}\"\nevent_type = \"e\"", "routes[0].path"),
        ("methods = [\"POST\"]\npath = \"/a/../{orgId}\"\nevent_type = \"e\"", "routes[0].path"),
        ("methods = [\"POST\"]\npath = \"/a/{orgId}/%2f\"\nevent_type = \"e\"", "routes[0].path"),
        ("methods = [\"POST\"]\npath = \"/a/{orgId}\"", "routes[0].event_type: is missing"),
        (
            "methods = [\"POST\"]\npath = \"/a/{orgId}\"\nevent_type = \"e\"\nanswer = \"/usage\"",
            "test.toml:15: routes[0].answer: is no table; allowed: a table such as",
        ),
        (
            "methods = [\"POST\"]\npath = \"/a/{orgId}\"\nevent_type = \"e\"\nanswer = { model = \"m\" }",
            "routes[0].answer.model: is no JSON pointer; allowed: JSON pointers",
        ),
        (
            "methods = [\"POST\"]\npath = \"/a/{orgId}\"\nevent_type = \"e\"\nanswer = { tokens = \"/m\" }",
            "routes[0].answer.tokens: is unknown; allowed: model, input_tokens, output_tokens",
        ),
        (
            "methods = [\"POST\"]\npath = \"/a/{orgId}\"\nevent_type = \"a\\nb\"",
            "test.toml:14: routes[0].event_type: is \"a\\nb\"",
        ),
        ("methods = [\"POST\"]\npath = \"/a/{orgId}\"\nevent_type = 5", "routes[0].event_type: is no text"),
        ("methods = [\"POST\"]\n\npath = \"/a\"\nevent_type = \"e\"", "test.toml:14: routes[0].path: is \"/a\""),
        (
            "methods = [5]\npath = \"/a/{orgId}\"\nevent_type = \"e\"",
            "test.toml:12: routes[0].methods: is no list of texts",
        ),
        (
            "methods = [\"POST\"]\npath = \"/a/{orgId}\"\nevent_type = \"e\"\ntext = [\"content\"]",
            "routes[0].text: has \"content\"",
        ),
        ("methods = [\"POST\"]\npath = \"/a/{orgId}\"\nevent_type = \"e\"\nsession = \"s\"", "routes[0].session"),
        ("methods = [\"POST\"]\npath = \"/a/{orgId}\"\nevent_type = \"e\"\nprice = 5", "routes[0].price: is unknown"),
        (
            "methods = [\"POST\"]\npath = \"/a/{orgId}/{x}\"\nevent_type = \"e\"\n[[routes]]\nmethods = [\"GET\", \"POST\"]\npath = \"/a/{orgId}/{y}\"\nevent_type = \"e\"",
            "test.toml:15: routes[1].path: matches the same requests",
        ),
        (
            "methods = [\"POST\"]\npath = \"/a/{orgId}/b\"\nevent_type = \"e\"\n[[routes]]\nmethods = [\"POST\"]\npath = \"/a/{orgId}/{any}\"\nevent_type = \"f\"",
            "routes[1].path: matches the same requests",
        ),
        (
            "methods = [\"POST\"]\npath = \"/a/{orgId}/b\"\nevent_type = \"e\"\n[[routes]]\nmethods = [\"PUT\"]\npath = \"/a/c/{orgId}\"\nevent_type = \"f\"",
            "routes[1].path: matches the same requests",
        ),
    ];
    for (keys, want) in cases {
        let said = route(keys);
        assert!(said.contains(want), "{keys}\n{said}");
    }
    let apart = route(
        "methods = [\"POST\"]\npath = \"/a/{orgId}/b\"\nevent_type = \"e\"\n[[routes]]\nmethods = [\"PUT\"]\npath = \"/a/{orgId}/{any}\"\nevent_type = \"f\"",
    );
    assert_eq!(apart, "", "another method of the same organisation can be meant");
}

#[test]
fn what_is_no_toml_says_its_line() {
    assert!(faults("[server]\nlisten = \n").starts_with("test.toml:2: "), "{}", faults("[server]\nlisten = \n"));
    let cases = [
        (
            "[server]\nlisten = \"a\"\n\nlisten = \"b\"\n",
            "test.toml:4: server.listen: duplicate key; allowed: each key once",
        ),
        ("[server]\n[admin]\n[server]\n", "test.toml:3: server: duplicate key; allowed: each key once"),
        (
            "[server]\nthreads = 1\n\"threads\" = 2\n",
            "test.toml:3: server.threads: duplicate key; allowed: each key once",
        ),
        ("a = 1\na = 2", "test.toml:2: a: duplicate key; allowed: each key once"),
        ("[auth]\nhs256_secret = hush-hush\n", "test.toml:2: auth.hs256_secret: "),
        ("[auth\n", "test.toml:1: "),
    ];
    for (text, said) in cases {
        let faults = faults(text);
        assert!(faults.starts_with(said) && faults.contains("; allowed: "), "{faults}");
        assert!(!faults.contains("hush") && faults.lines().count() == 1, "{faults}");
    }
    let key = faults(&format!("{SHORTEST}\n[server]\n\"a\\n\\u0000\" = 1\n"));
    assert!(key.contains(": server.a\u{fffd}\u{fffd}: is unknown") && key.lines().count() == 1, "{key}");
    let missing = load(Path::new("/nowhere/gateway.toml"), []).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/gateway.toml: "), "{missing}");
}

#[test]
fn listeners_and_backend_must_not_meet() {
    let meet = |server: &str, admin: &str, upstream: &str| {
        let env = [
            ("GATEWAY__SERVER__LISTEN", server),
            ("GATEWAY__ADMIN__LISTEN", admin),
            ("GATEWAY__UPSTREAM__URL", upstream),
        ];
        with_env(&env).err().map(|faults| faults.to_string()).unwrap_or_default()
    };
    let elsewhere = "http://127.0.0.1:5000";
    assert!(meet("127.0.0.1:9000", "127.0.0.1:9000", elsewhere).contains("admin.listen: is also server.listen"));
    assert!(meet("0.0.0.0:9000", "127.0.0.1:9000", elsewhere).contains("admin.listen: is also server.listen"));
    assert!(meet("127.0.0.1:9000", "[::]:9000", elsewhere).contains("admin.listen: is also server.listen"));
    assert!(
        meet("127.0.0.1:9000", "127.0.0.1:9001", "http://127.0.0.1:9000").contains("upstream.url: is server.listen")
    );
    let in_one_file = format!("{SHORTEST}[server]\nlisten = \"127.0.0.1:9\"\n[admin]\nlisten = \"127.0.0.1:9\"\n");
    assert!(faults(&in_one_file).starts_with("test.toml:13: admin.listen: is also server.listen"), "it has its line");
    let with_a_default = format!("{SHORTEST}[server]\nlisten = \"127.0.0.1:8081\"\n");
    assert!(faults(&with_a_default).starts_with("test.toml:11: server.listen: is also admin.listen"), "so has this");
    assert_eq!(meet("127.0.0.1:9000", "127.0.0.2:9000", elsewhere), "");
    assert_eq!(meet("127.0.0.1:0", "127.0.0.1:0", elsewhere), "", "the system picks them");
}

#[test]
fn a_database_is_a_file_or_a_server() {
    let with = |url: &str| format!("{SHORTEST}\n[database]\nurl = \"{url}\"\n");
    let good =
        ["sqlite:a.db", "postgres://u@h/db", "postgresql://u:p@h:1/db?sslmode=require", "postgres:///db?host=/run"];
    for url in good {
        assert_eq!(read(&with(url)).unwrap().database.url, url);
    }
    for url in [
        "",
        "a.db",
        "sqlite:",
        "sqlite::memory:",
        "sqlite:a?b",
        "mysql://u:hush@h/db",
        "postgres://u:hush@h",
        "postgres://u:hush@h/",
    ] {
        let said = faults(&with(url));
        assert!(said.contains("database.url: is no database address; allowed: sqlite:FILE"), "{url}: {said}");
        assert!(!said.contains("hush"), "{said}");
    }
    let shown = format!("{:?}", read(&with("postgres://u:hush@h/db")).unwrap());
    assert!(!shown.contains("hush"), "{shown}");
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
