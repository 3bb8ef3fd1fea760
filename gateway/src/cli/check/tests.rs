use std::fs;

use super::*;

const PLUGIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../pricing-plugins/standard.wasm");

/// What is said of a configuration in a folder: `@` stands for the folder, which must be left as it is.
async fn said(folder: &Path, text: &str) -> String {
    let file = folder.join("gateway.toml");
    fs::write(&file, text.replace('@', &folder.display().to_string())).unwrap();
    let before = names(folder);
    let mut inspected = settings::inspect(&file, []).unwrap_or_else(|faults| panic!("{faults}"));
    look(&mut inspected).await;
    assert_eq!(names(folder), before, "nothing is left behind");
    lines(&inspected.faults()).join("\n").replace(&folder.display().to_string(), "@")
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

fn sound() -> String {
    format!(
        "[upstream]\nurl = \"http://127.0.0.1:5000\"\n[database]\nurl = \"sqlite:@/data/usage.db\"\n[journal]\n\
         directory = \"@/data/journal\"\n[auth]\nissuer = \"i\"\naudience = \"a\"\nhs256_secret_file = \"@/secret\"\n\
         [pricing]\nplugin = \"{PLUGIN}\"\n"
    )
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "a secret that is long enough for HS256").unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    folder
}

#[tokio::test]
async fn a_sound_configuration_has_no_fault_and_nothing_is_made() {
    let folder = folder();
    assert_eq!(said(folder.path(), &sound()).await, "");
}

#[tokio::test]
async fn every_fault_is_found_in_one_run_and_has_the_line_of_its_key() {
    let folder = folder();
    let text = r#"[server]
max_body = "ten"
[upstream]
url = "http://127.0.0.1:5000"
[database]
url = "sqlite:@/file/usage.db"
[journal]
directory = "@/file"
[auth]
issuer = "i"
audience = "a"
jwks = "@/no-jwks"
hs256_secret_file = "@/no-secret"
[pricing]
plugin = "@/no-plugin"
[[routes]]
methods = ["POS T"]
path = "/api/organizations/{orgId}/usage/me"
event_type = "structuring_diagnose"
"#;
    let said = said(folder.path(), text).await;
    let wants = [
        "@/gateway.toml:2: server.max_body: is \"ten\"; allowed: a size",
        "@/gateway.toml:6: database.url: @/file is no folder; allowed: a file that can be made",
        "@/gateway.toml:8: journal.directory: @/file is no folder; allowed: a folder that can be made",
        "@/gateway.toml:12: auth.jwks: ",
        "@/gateway.toml:13: auth.hs256_secret_file: @/no-secret: ",
        "@/gateway.toml:15: pricing.plugin: @/no-plugin: ",
        "@/gateway.toml:17: routes[0].methods: has \"POS T\"; allowed: a list of methods in capital letters",
        "@/gateway.toml:18: routes[0].path: /api/organizations/{orgId}/usage/me is one of the gateway's own paths; allowed: ",
    ];
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), wants.len(), "{said}");
    for (line, want) in lines.iter().zip(wants) {
        assert!(line.starts_with(want), "{line}\nwant {want}");
    }
}

#[tokio::test]
async fn a_secret_that_is_too_short_is_named_where_it_stands() {
    let folder = folder();
    fs::write(folder.path().join("secret"), "short").unwrap();
    let told = said(folder.path(), &sound()).await;
    let want = "the HS256 secret has 5 bytes; allowed: a secret of 32 bytes or more";
    assert_eq!(told, format!("@/gateway.toml:10: auth.hs256_secret_file: {want}"));
    let file = folder.path().join("gateway.toml");
    let text =
        sound().replace("hs256_secret_file = \"@/secret\"\n", "").replace('@', &folder.path().display().to_string());
    fs::write(&file, text).unwrap();
    let secret = ("GATEWAY__AUTH__HS256_SECRET".to_owned(), "short".to_owned());
    let mut inspected = settings::inspect(&file, [secret]).unwrap_or_else(|faults| panic!("{faults}"));
    look(&mut inspected).await;
    let told = lines(&inspected.faults()).join("\n");
    assert_eq!(told, format!("GATEWAY__AUTH__HS256_SECRET: auth.hs256_secret: {want}"));
}

#[tokio::test]
async fn what_cannot_be_written_is_a_fault() {
    let folder = folder();
    // Not even a superuser makes files there.
    for unwritable in ["/proc/journal", "/proc/self/journal/deep"] {
        let text = sound().replace("@/data/journal", unwritable);
        let told = said(folder.path(), &text).await;
        assert!(told.starts_with("@/gateway.toml:6: journal.directory: /proc"), "{told}");
        let text = sound().replace("@/data/usage.db", unwritable);
        let told = said(folder.path(), &text).await;
        assert!(told.starts_with("@/gateway.toml:4: database.url: /proc"), "{told}");
    }
    let text = sound().replace("@/data/usage.db", "@");
    assert!(said(folder.path(), &text).await.starts_with("@/gateway.toml:4: database.url: @ cannot be written"));
}

#[tokio::test]
async fn an_event_type_that_nobody_prices_has_its_line() {
    let folder = folder();
    let route = |event_type: &str| {
        format!(
            "[[routes]]\nmethods = [\"POST\"]\npath = \"/a{event_type}/{{orgId}}\"\nevent_type = \"{event_type}\"\n"
        )
    };
    let text = format!("{}{}{}", sound(), route("structuring_diagnose"), route("of_nobody"));
    let said = said(folder.path(), &text).await;
    assert!(
        said.lines().all(|line| line.contains("routes[1].event_type: of_nobody is not priced by the plugin")),
        "{said}"
    );
}

#[tokio::test]
async fn a_database_whose_user_may_not_make_tables_is_a_fault_and_one_who_may_is_none() {
    let (folder, database) = (folder(), cluster::TestDatabase::new().await.unwrap());
    let on = |url: &str| sound().replace("sqlite:@/data/usage.db", url);
    let (guest, guests) = database.user(false).await.unwrap();
    let told = said(folder.path(), &on(&guests)).await;
    assert_eq!(
        told,
        format!(
            "@/gateway.toml:4: database.url: {guest} may not make tables in the schema public; allowed: a PostgreSQL \
             database that can be reached and written, whose tables are, or can be, the user's own"
        )
    );
    let (_, owners) = database.user(true).await.unwrap();
    assert_eq!(said(folder.path(), &on(&owners)).await, "");
    // Made by somebody else: the owner of the database may not alter them.
    store::open(store::Options { url: database.url(), readers: 1, occupancy: Occupancy::Companion }).await.unwrap();
    database.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC").await.unwrap();
    let told = said(folder.path(), &on(&owners)).await;
    assert!(told.contains("does not own the table _sqlx_migrations and 4 more, and so"), "{told}");
    assert_eq!(said(folder.path(), &on(&database.url())).await, "");
    let name = database.url().split(['/', '?']).nth(3).unwrap().to_owned();
    database.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await.unwrap();
    assert!(said(folder.path(), &on(&database.url())).await.contains("it is read-only; allowed: a PostgreSQL"));
    let nowhere = said(folder.path(), &on("postgres://u@127.0.0.1:1/db")).await;
    assert!(nowhere.contains("cannot be reached") && nowhere.contains("allowed: a PostgreSQL"), "{nowhere}");
    let misspelt = said(folder.path(), &on("postgres://u@h/db?sslmod=x")).await;
    assert!(misspelt.contains("sslmod is no parameter; allowed: sslmode"), "{misspelt}");
}
