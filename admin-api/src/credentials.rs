//! From `[auth]` to what the authenticator is started with: the same for the gateway and for the API alone.

use access::KeySource;
use anyhow::Context as _;
use settings::Auth;

/// The options of the configuration's `[auth]`. Reads the secret's file; fails where that cannot be read.
pub fn access_options(auth: &Auth) -> anyhow::Result<access::Options> {
    let mut keys = Vec::new();
    if let Some(jwks) = &auth.jwks {
        let is_address = jwks.starts_with("https://") || jwks.starts_with("http://");
        keys.push(if is_address { KeySource::Address(jwks.clone()) } else { KeySource::File(jwks.into()) });
    }
    if let Some(secret) = &auth.hs256_secret {
        keys.push(KeySource::Secret(secret.reveal().as_bytes().to_vec()));
    } else if let Some(file) = &auth.hs256_secret_file {
        let secret = std::fs::read(file).with_context(|| format!("auth.hs256_secret_file: {}", file.display()))?;
        // Editors end a file with a line end that is no part of the secret.
        keys.push(KeySource::Secret(secret.trim_ascii_end().to_vec()));
    }
    Ok(access::Options {
        cookie: auth.cookie.clone(),
        leeway: auth.leeway,
        refresh: auth.jwks_refresh,
        ..access::Options::new(&auth.issuer, &auth.audience, keys)
    })
}
