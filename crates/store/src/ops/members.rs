//! Members.

use ledger::{Member, OrganizationId, Role, StoreError, UserId};
use sqlx::Row as _;

use super::id;
use crate::connection::{Connection, Row};
use crate::error::{damaged, from_driver};

const FIND_MEMBER: &str = "SELECT user_id, role, name, email FROM members WHERE organization_id = $1 AND user_id = $2";
const LIST_MEMBERS: &str = "SELECT user_id, role, name, email FROM members WHERE organization_id = $1";
const PUT_MEMBER: &str = "INSERT INTO members (organization_id, user_id, role, name, email) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (organization_id, user_id)
    DO UPDATE SET role = excluded.role, name = excluded.name, email = excluded.email";
const DELETE_MEMBER: &str = "DELETE FROM members WHERE organization_id = $1 AND user_id = $2";

pub(crate) async fn find(
    conn: &mut Connection,
    of: &OrganizationId,
    user: &UserId,
) -> Result<Option<Member>, StoreError> {
    let find = sqlx::query(FIND_MEMBER).bind(of.as_str()).bind(user.as_str());
    find.fetch_optional(conn).await.map_err(from_driver)?.as_ref().map(read).transpose()
}

pub(crate) async fn list(conn: &mut Connection, of: &OrganizationId) -> Result<Vec<Member>, StoreError> {
    let rows = sqlx::query(LIST_MEMBERS).bind(of.as_str()).fetch_all(conn).await.map_err(from_driver)?;
    rows.iter().map(read).collect()
}

pub(crate) async fn put(conn: &mut Connection, of: &OrganizationId, member: &Member) -> Result<(), StoreError> {
    let put = sqlx::query(PUT_MEMBER).bind(of.as_str()).bind(member.user_id.as_str()).bind(member.role.as_str());
    let put = put.bind(member.name.as_deref()).bind(member.email.as_deref());
    put.execute(conn).await.map_err(from_driver)?;
    Ok(())
}

pub(crate) async fn delete(conn: &mut Connection, of: &OrganizationId, user: &UserId) -> Result<(), StoreError> {
    let delete = sqlx::query(DELETE_MEMBER).bind(of.as_str()).bind(user.as_str());
    delete.execute(conn).await.map_err(from_driver)?;
    Ok(())
}

fn read(row: &Row) -> Result<Member, StoreError> {
    let role: &str = row.try_get(1).map_err(from_driver)?;
    Ok(Member {
        user_id: id("user id", row.try_get(0).map_err(from_driver)?)?,
        role: Role::from_name(role).ok_or_else(|| damaged("role", role))?,
        name: row.try_get(2).map_err(from_driver)?,
        email: row.try_get(3).map_err(from_driver)?,
    })
}
