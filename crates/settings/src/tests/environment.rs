//! Variables over the file, and secrets.

use super::*;

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
    let said =
        with_env(&[("GATEWAY__SERVER__LISTN", "x"), ("GATEWAY__SERVER__MAX_BODY", "ten")]).unwrap_err().to_string();
    assert!(said.contains("GATEWAY__SERVER__LISTN: server.listn: is unknown; allowed: listen"), "{said}");
    assert!(said.contains("GATEWAY__SERVER__MAX_BODY: server.max_body: is \"ten\""), "{said}");
}

#[test]
fn a_variable_is_named_wherever_its_value_is_wrong() {
    let said = |env: &[(&str, &str)]| with_env(env).err().map(|faults| faults.to_string()).unwrap_or_default();
    let cases = [
        (
            ("GATEWAY__ROUTES", r#"[{ methods = ["POST"], path = "/x", event_type = "e" }]"#),
            "GATEWAY__ROUTES: routes[0].path: is \"/x\"",
        ),
        (("GATEWAY__ROUTES", "5"), "GATEWAY__ROUTES: routes: is no list"),
        (("GATEWAY__ROUTES__0__PATH", "/x"), "GATEWAY__ROUTES__0__PATH: routes: is no list"),
        (("GATEWAY__AUTH", r#"{ issuer = "i", jwks = "j" }"#), "test.toml: auth.audience: is missing"),
        (("GATEWAY__SERVR__LISTEN", "x"), "GATEWAY__SERVR__LISTEN: servr: is unknown"),
        (("GATEWAY__SERVER", "5"), "GATEWAY__SERVER: server: is no section"),
        (("GATEWAY__SERVER__MAX_BODY", "[1]"), "GATEWAY__SERVER__MAX_BODY: server.max_body: is \"[1]\""),
        (("GATEWAY__SERVER__MAX_BODY", "\"1KiB\"\nb = 2"), "GATEWAY__SERVER__MAX_BODY: server.max_body: is"),
        (("GATEWAY__SERVER__LISTEN", ""), "GATEWAY__SERVER__LISTEN: server.listen: is \"\""),
        (("GATEWAY__JOURNAL__DIRECTORY", ""), "GATEWAY__JOURNAL__DIRECTORY: journal.directory: is empty"),
        (("GATEWAY__", "x"), "GATEWAY__: is unknown"),
    ];
    for (variable, want) in cases {
        assert!(said(&[variable]).starts_with(want), "{variable:?}: {}", said(&[variable]));
    }
    let routes = "[[routes]]\nmethods = [\"POST\"]\npath = \"/a/{orgId}\"\nevent_type = \"e\"";
    let into_a_list = [("GATEWAY__ROUTES__0__PATH".to_owned(), "/b/{orgId}".to_owned())];
    let said = parse("test.toml", &format!("{SHORTEST}{routes}"), into_a_list).unwrap_err().to_string();
    assert!(
        said.starts_with("GATEWAY__ROUTES__0__PATH: routes.0__path: is no key of a section; allowed: all of routes"),
        "{said}"
    );
}

#[test]
fn a_key_goes_over_its_section_whichever_variable_comes_first() {
    let mut env = [("GATEWAY__SERVER__MAX_BODY", "2KiB"), ("GATEWAY__SERVER", r#"{ max_body = "1KiB", threads = 2 }"#)];
    for _ in 0..2 {
        let settings = with_env(&env).unwrap();
        assert_eq!((settings.server.max_body, settings.server.threads), (2_048, 2));
        env.reverse();
    }
}

#[test]
fn no_secret_is_ever_shown_or_changed() {
    let quoted = "\"quotes are part of a secret's bytes\" # and so is this";
    let settings = with_env(&[("GATEWAY__AUTH__HS256_SECRET", quoted)]).unwrap();
    assert_eq!(settings.auth.hs256_secret.as_ref().unwrap().reveal(), quoted);
    assert!(with_env(&[("GATEWAY__AUTH__HS256_SECRET", "")]).unwrap().auth.hs256_secret.is_none());
    for env in [
        ("GATEWAY__UPSTREAM__URL", "http://user:hunter2@app"),
        ("GATEWAY__DATABASE__URL", "postgres://user:hunter2@db"),
        ("GATEWAY__HS256_SECRET", "hunter2"),
        ("GATEWAY__AUTH", "{ hs256_secret = \"hunter2\" }"),
        ("GATEWAY__AUTH__HS256_SECRT", "hunter2"),
    ] {
        let said = with_env(&[env]).unwrap_err().to_string();
        assert!(!said.contains("hunter2"), "{said}");
    }
    for text in
        ["[auth]\nhs256_secret = \"hunter2\"", "[auth]\nhs256_secret = \"hunter2", "[auth]\nhs256_secret = hunter2"]
    {
        assert!(!faults(text).is_empty() && !faults(text).contains("hunter2"), "{}", faults(text));
    }
}
