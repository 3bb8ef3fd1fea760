//! A paid call, one step a line. Each step hands the next one a type that only it can make: no backend without a hold,
//! no hold without a quote and a paying member, no answer without a settlement.

use std::sync::Arc;

use ledger::OrganizationId;
use pingora::proxy::Session;

use crate::authorize::Membership;
use crate::call::Call;
use crate::gateway::Gateway;
use crate::pace::Pair;
use crate::passing::Recognised;
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
    let pair = pace(gateway, call, &member)?;
    let body = read::body(gateway, session, &route).await?;
    call.place = Some(gateway.room.place(pair, gateway.rules.load().paces, gateway.clock.now())?);
    let permit = authorize::paying(member)?;
    once::first(gateway, session, call, &permit, &route, &body).await?;
    let quote = quote::price(gateway, &permit, &route, &body)?;
    let hold = hold::open(gateway, call, permit, quote, &route, body.extracted).await?;
    call.recognised.iter_mut().for_each(|recognised| recognised.event = Some(hold.event.id));
    let answer = forward::send(gateway, session, call, body.bytes).await;
    relay::deliver(gateway, session, call, answer, hold).await
}

/// Lets a member's free request on a metered path through, such as its health check.
pub(crate) async fn free(
    gateway: &Gateway,
    session: &Session,
    call: &mut Call,
    organization: OrganizationId,
) -> Result<(), Stop> {
    let caller = identify::caller(gateway, session).await?;
    let member = authorize::member(gateway, caller, &organization).await?;
    call.recognised = Recognised::of(&member);
    Ok(())
}

/// Counts the call for its organisation and user, and names both for the backend.
fn pace(gateway: &Gateway, call: &mut Call, member: &Membership) -> Result<Pair, Stop> {
    let (record, user) = member.parts();
    let subjects = &gateway.room.subjects;
    let pair = subjects.pair(&record.organization.organization_id, &user.user_id);
    subjects.call(pair, gateway.rules.load().paces, gateway.clock.now())?;
    call.recognised = Recognised::of(member);
    Ok(pair)
}
