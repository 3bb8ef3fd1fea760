//! The credential as a request presents it: `Authorization: Bearer …` first, else the named cookie.

use ledger::ApiKeyId;

/// What of a request may hold a credential.
#[derive(Clone, Copy, Default)]
pub struct Presented<'a> {
    /// The `Authorization` field's value.
    pub authorization: Option<&'a [u8]>,
    /// The values of all `Cookie` fields.
    pub cookies: &'a [&'a [u8]],
}

/// Nobody we know. The reason is for our own log; from outside all read the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no valid credential: {0}")]
pub struct Unauthenticated(pub(crate) &'static str);

impl Unauthenticated {
    /// A key that is nobody's: unknown, revoked or expired.
    pub const API_KEY: Self = Self("no such API key");

    /// Why, one of a fixed set. Never any part of the credential.
    pub const fn reason(self) -> &'static str {
        self.0
    }
}

impl<'a> Presented<'a> {
    /// The key of a machine, where the bearer credential is one by its look. A cookie carries none: machines have no browser.
    pub fn api_key(self) -> Option<&'a [u8]> {
        self.authorization.and_then(bearer).filter(|bearer| bearer.starts_with(ApiKeyId::PREFIX.as_bytes()))
    }

    /// The credential, from wherever it is.
    pub(crate) fn credential(self, cookie: Option<&str>) -> Result<&'a [u8], Unauthenticated> {
        if let Some(bearer) = self.authorization.and_then(bearer) {
            return Ok(bearer);
        }
        let Some(name) = cookie else { return Err(Unauthenticated("no bearer credential")) };
        let pairs = self.cookies.iter().flat_map(|field| field.split(|byte| *byte == b';'));
        let mut named = pairs.filter_map(|pair| value_of(pair, name.as_bytes()));
        match (named.next(), named.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err(Unauthenticated("neither a bearer credential nor the cookie")),
            // Which of two is meant depends on who reads them.
            (Some(_), Some(_)) => Err(Unauthenticated("the cookie stands twice")),
        }
    }
}

/// The credential of the Bearer scheme (RFC 6750 §2.1), whose name is in any case.
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, credential) = authorization.split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ")).then(|| credential.trim_ascii())
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let (given, value) = (pair.get(..at)?.trim_ascii(), pair.get(at + 1..)?.trim_ascii());
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    (given == name).then_some(unquoted.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_found_where_it_may_be() {
        let cases: [(Option<&str>, &[&str], Option<&str>); 10] = [
            (Some("Bearer abc"), &[], Some("abc")),
            (Some("bEARER  abc "), &[], Some("abc")),
            (Some("Bearer abc"), &["session=def"], Some("abc")),
            (Some("Basic abc"), &["session=def"], Some("def")),
            (None, &["a=b; session=def; c"], Some("def")),
            (None, &["a=b", "session=\"def\""], Some("def")),
            (None, &["xsession=def"], None),
            (None, &["session=def; session=ghi"], None),
            (Some("abc"), &[], None),
            (None, &[], None),
        ];
        for (authorization, cookies, want) in cases {
            let cookies: Vec<&[u8]> = cookies.iter().map(|cookie| cookie.as_bytes()).collect();
            let presented = Presented { authorization: authorization.map(str::as_bytes), cookies: &cookies };
            assert_eq!(presented.credential(Some("session")).ok(), want.map(str::as_bytes), "{authorization:?}");
        }
        let cookie_only = Presented { authorization: None, cookies: &[b"session=def"] };
        let presented =
            |authorization: &'static str| Presented { authorization: Some(authorization.as_bytes()), cookies: &[] };
        assert_eq!(presented("Bearer gwk_1").api_key(), Some(&b"gwk_1"[..]));
        assert_eq!(presented("Bearer eyJ.gwk_").api_key(), None);
        assert_eq!(presented("Basic gwk_1").api_key(), None);
        assert!(cookie_only.credential(None).is_err(), "a cookie counts only where one is configured");
    }
}
