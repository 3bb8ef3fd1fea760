//! The address of a PostgreSQL database, as `libpq` and its clients write it. It may hold a password, which must never
//! be shown.

use sqlx::postgres::PgConnectOptions;

use crate::error::OpenError;

/// The parameters that are understood. Others would be passed over in silence, `sslmod=verify-full` among them.
const PARAMETERS: [&str; 11] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Whether an address is meant for this database.
pub(super) fn is_ours(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// Reads an address. What it lacks comes from `PGHOST`, `PGPASSWORD` and their like, and the password from `.pgpass`.
pub(super) fn read(url: &str) -> Result<PgConnectOptions, OpenError> {
    let wrong = |why: String| OpenError::Parameters { why };
    if !is_ours(url) {
        return Err(wrong("it does not begin with postgres://".to_owned()));
    }
    for pair in url.split_once('?').map_or("", |(_, parameters)| parameters).split('&').filter(|pair| !pair.is_empty())
    {
        let key = pair.split('=').next().unwrap_or_default();
        if !PARAMETERS.contains(&key) {
            return Err(wrong(format!("{key} is no parameter; allowed: {}", PARAMETERS.join(", "))));
        }
    }
    let options: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| wrong(error.to_string()))?;
    if options.get_database().is_none() {
        return Err(wrong("it names no database".to_owned()));
    }
    let named = options.get_application_name().is_some();
    Ok(if named { options } else { options.application_name("gateway") })
}

/// An address as people may see it.
pub(super) fn shown(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_default();
    match options.get_socket() {
        Some(socket) => format!("the PostgreSQL database {database} at {}", socket.display()),
        None => format!("the PostgreSQL database {database} at {}:{}", options.get_host(), options.get_port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_none_are_refused_without_a_word_of_the_password() {
        let cases = [
            ("postgres://u:hush@h/db?sslmod=verify-full", "sslmod is no parameter"),
            ("postgres://u:hush@h/db?sslmode=perhaps", "perhaps"),
            ("postgres://u:hush@h:port/db", "port"),
            ("postgres://u:hush@h", "names no database"),
            ("postgres:u:hush", "does not begin with postgres://"),
        ];
        for (url, why) in cases {
            let error = read(url).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(told.contains(why) && !told.contains("hush"), "{url}: {told}");
        }
    }

    #[test]
    fn what_people_see_has_no_password() {
        let options = read("postgres://u:hush@h:6000/db?sslmode=verify-full&sslrootcert=ca.pem").unwrap();
        assert_eq!(shown(&options), "the PostgreSQL database db at h:6000");
        let socket = read("postgres:///db?host=/run/postgresql&user=u&password=hush").unwrap();
        assert_eq!(shown(&socket), "the PostgreSQL database db at /run/postgresql");
    }
}
