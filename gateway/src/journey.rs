//! A paid call, one step a line. Each step hands the next one a type that only it can make: no backend without a hold,
//! no hold without a quote and a paying member, no answer without a settlement.

use std::sync::Arc;

use ledger::OrganizationId;
use pingora::proxy::Session;

use crate::call::Call;
use crate::gateway::Gateway;
use crate::routes::Route;
use crate::stop::Stop;
use crate::{authorize, forward, hold, identify, once, quote, read, relay};

/// Takes a metered request from the caller's credential to the answer's last byte.
pub(crate) async fn paid(
    gateway: &Gateway,
    session: &mut Session,
    call: &mut Call,
    route: Arc<Route>,
    organization: OrganizationId,
) -> Result<(), Stop> {
    let caller = identify::caller(gateway, session).await?;
    let member = authorize::member(gateway, caller, &organization).await?;
    let body = read::body(gateway, session, &route).await?;
    call.place = Some(gateway.room.place()?);
    let permit = authorize::paying(member)?;
    once::first(gateway, session, call, &permit, &route, &body).await?;
    let quote = quote::price(gateway, &permit, &route, &body)?;
    let hold = hold::open(gateway, call, permit, quote, &route, &body).await?;
    let answer = forward::send(gateway, session, call, body).await;
    relay::deliver(gateway, session, call, answer, hold).await
}

/// Lets a member's free request on a metered path through, such as its health check.
pub(crate) async fn free(gateway: &Gateway, session: &Session, organization: OrganizationId) -> Result<(), Stop> {
    let caller = identify::caller(gateway, session).await?;
    authorize::member(gateway, caller, &organization).await?;
    Ok(())
}
