//! What is called, as whom, at whose expense: a throw-away organisation with credit for so many calls and no more.

use std::path::Path;
use std::sync::Arc;

use access::{Authenticator, KeySource, Presented};
use anyhow::Context as _;
use http::{Method, Uri};
use ledger::{
    Actor, Change, Credits, Limit, Member, NewOrganization, OrganizationId, Role, SubscriptionStatus, SystemClock,
    Timestamp, UsageLimits, UserId,
};
use pricing::{Call, Plugin};
use standin::{Mint, Person};
use store::Store;
use uuid::Uuid;

use super::{Drill, Failure};
use crate::Options;
use crate::routes::Route;
use crate::upstream::{Upstream, UpstreamOptions};

/// Who calls, where a credential is signed for the drill.
const CALLER: &str = "gateway-drill";
/// For how long that credential is good: ten minutes.
const CREDENTIAL_MS: i64 = 600_000;

pub(super) struct Target {
    pub(super) organization: OrganizationId,
    pub(super) credential: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: String,
    /// What one call costs.
    pub(super) price: Credits,
    /// Credit for so many calls, and what that is.
    pub(super) credit_for: u64,
    pub(super) limit: Credits,
    pub(super) instances: Vec<Arc<Upstream>>,
}

impl Target {
    /// Finds the price of a call and makes an organisation that can pay for so many.
    pub(super) async fn prepare(
        drill: &Drill,
        options: &Options,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let rules = options.rules().map_err(|error| Failure::Usage(format!("routes: {error:#}")))?;
        let wanted = drill.route.as_deref();
        let route = rules.routes.configured(wanted).ok_or_else(|| {
            Failure::Usage(format!("--route: no metered route is configured as {}", wanted.unwrap_or("(any)")))
        })?;
        if drill.credit_for >= drill.calls {
            return Err(Failure::Usage(format!(
                "--credit-for {} of --calls {}: no call would be refused; allowed: less than --calls",
                drill.credit_for, drill.calls
            )));
        }
        let price = price(drill, options, store, &route).await?;
        let credit_for = i64::try_from(drill.credit_for).context("--credit-for")?;
        let limit = price.micros().checked_mul(credit_for).map(Credits::from_micros);
        let limit = limit.context("--credit-for: so much credit cannot be counted")?;
        let (credential, caller) = credential(drill, options, now).await?;
        let organization: OrganizationId = format!("drill-{}", Uuid::now_v7().as_simple()).parse().context("an id")?;
        make_organization(store, &organization, caller, limit, now).await?;
        let mut instances = Vec::new();
        for url in addresses(drill, options)? {
            instances.push(connect_to(&url, options).await.with_context(|| format!("--instance {url}"))?);
        }
        Ok(Self {
            credential,
            method: route.method(),
            path: route.path_for(&organization),
            organization,
            body: drill.body.clone(),
            price,
            credit_for: drill.credit_for,
            limit,
            instances,
        })
    }

    /// Closes the organisation. Its events stay, as all events do.
    pub(super) async fn retire(&self, store: &dyn Store, now: Timestamp) -> anyhow::Result<()> {
        put_organization(store, &self.organization, self.limit, SubscriptionStatus::Canceled, now).await
    }
}

/// What the configured plugin asks for one call, by the definitions in force.
async fn price(drill: &Drill, options: &Options, store: &dyn Store, route: &Route) -> Result<Credits, Failure> {
    let definitions = store.event_definitions().await.context("database.url")?;
    let definition = definitions.into_iter().find(|definition| definition.event_type == route.event_type);
    let definition = definition.with_context(|| format!("{} has no event definition", route.event_type))?;
    let signals = route.extractor.extract(drill.body.as_bytes()).map_err(|why| Failure::word("--body", why))?.signals;
    let plan = "free".parse().context("a plan")?;
    let plugin = Plugin::load(&options.pricing).context("pricing.plugin")?;
    let call = Call { definition: &definition, plan: &plan, signals: &signals };
    let quote = plugin.quote(&call).context("pricing.plugin: the call has no price")?;
    if quote.credits == Credits::ZERO {
        return Err(Failure::Usage(format!("--route: a call to {} costs nothing, so it proves nothing", route.path)));
    }
    Ok(quote.credits)
}

/// A credential, and whose it is.
async fn credential(drill: &Drill, options: &Options, now: Timestamp) -> Result<(String, UserId), Failure> {
    let Some(file) = &drill.credential_file else {
        let secret = options.access.keys.iter().find_map(|key| match key {
            KeySource::Secret(secret) => Some(secret),
            KeySource::File(_) | KeySource::Address(_) => None,
        });
        let secret = secret.ok_or_else(|| {
            Failure::Usage("--credential-file is needed: the configuration has no HS256 secret to sign with".to_owned())
        })?;
        let mint = Mint::new(&options.access.issuer, &options.access.audience, secret);
        let credential =
            mint.credential(&Person::new(CALLER), now.plus_millis(CREDENTIAL_MS)).context("a credential")?;
        return Ok((credential, CALLER.parse().context("a user's id")?));
    };
    let credential = credential_in(file)?;
    let access = options.access.clone();
    let authenticator = tokio::task::spawn_blocking(move || Authenticator::start(access, Arc::new(SystemClock)));
    let authenticator = authenticator.await.context("auth")?.context("auth")?;
    let authorization = format!("Bearer {credential}");
    let presented = Presented { authorization: Some(authorization.as_bytes()), cookies: &[] };
    let identity = authenticator.identify(presented).await;
    let identity = identity.map_err(|why| Failure::Usage(format!("--credential-file: {}", why.reason())))?;
    Ok((credential, identity.user_id.clone()))
}

async fn make_organization(
    store: &dyn Store,
    id: &OrganizationId,
    caller: UserId,
    limit: Credits,
    now: Timestamp,
) -> anyhow::Result<()> {
    put_organization(store, id, limit, SubscriptionStatus::Active, now).await?;
    let member = Member { user_id: caller, role: Role::Owner, name: None, email: None, monthly_credits: None };
    store.put_member(id, &member, &change(now)).await?.context("the drill's organisation is gone")?;
    Ok(())
}

async fn put_organization(
    store: &dyn Store,
    id: &OrganizationId,
    limit: Credits,
    subscription_status: SubscriptionStatus,
    now: Timestamp,
) -> anyhow::Result<()> {
    let new = NewOrganization {
        organization_id: id.clone(),
        name: "A drill, not a customer".to_owned(),
        plan: "free".parse()?,
        subscription_status,
        usage_limits: Some(UsageLimits { monthly_credits: Some(Limit::Credits(limit)), ..UsageLimits::default() }),
    };
    store.put_organization(&new, &change(now)).await?.context("there is no plan named free for the drill")?;
    Ok(())
}

fn change(at: Timestamp) -> Change {
    let actor =
        Actor { user_id: CALLER.to_owned(), role: "platform_admin".to_owned(), remote_address: None, request_id: None };
    Change { actor, at }
}

/// A gateway's address as it is given.
pub(super) fn instance(text: &str) -> Result<Uri, String> {
    const ALLOWED: &str = "allowed: http://HOST:PORT or https://HOST:PORT";
    let url: Uri = text.parse().map_err(|why| format!("{why}; {ALLOWED}"))?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    let is_bare = url.path_and_query().is_none_or(|rest| rest == "/");
    let has_host = url.host().is_some_and(|host| !host.is_empty());
    let has_secret = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if is_http && is_bare && has_host && !has_secret { Ok(url) } else { Err(ALLOWED.to_owned()) }
}

async fn connect_to(url: &Uri, options: &Options) -> anyhow::Result<Arc<Upstream>> {
    let tls = url.scheme_str() == Some("https");
    let host = url.host().context("allowed: http://HOST:PORT or https://HOST:PORT")?.to_owned();
    let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
    Ok(Upstream::new(UpstreamOptions { host, port, tls, ..options.upstream.clone() }).await?)
}

/// The credential in a file.
fn credential_in(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("--credential-file {}", file.display()))?;
    Ok(text.trim().to_owned())
}

/// Where the calls go: the instances given, or the configuration's own address.
fn addresses(drill: &Drill, options: &Options) -> anyhow::Result<Vec<Uri>> {
    if !drill.instance.is_empty() {
        return Ok(drill.instance.clone());
    }
    let mut address = options.listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    Ok(vec![format!("http://{address}").parse()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_an_address_of_a_gateway_and_nothing_more() {
        for (text, fits) in [
            ("http://10.0.0.1:8080", true),
            ("https://gateway.example/", true),
            ("http://[::1]:8080", true),
            ("ftp://x", false),
            ("10.0.0.1:8080", false),
            ("gateway.example", false),
            ("http://x/path", false),
            ("http://x?query", false),
            ("http://user:secret@x", false),
            ("http://", false),
            ("", false),
        ] {
            let read = instance(text);
            assert_eq!(read.is_ok(), fits, "{text}: {read:?}");
            assert!(fits || read.unwrap_err().contains("allowed: http://HOST:PORT"), "{text}");
        }
    }
}
