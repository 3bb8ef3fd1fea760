//! Members.

use ledger::{Limit, Member, OrganizationId, Role, StoreError, UserId};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::id;
use crate::dialect::Dialect;
use crate::error::{damaged, from_driver};

const FIND_MEMBER: &str = "SELECT user_id, role, name, email, monthly_credits_micros FROM members
    WHERE organization_id = $1 AND user_id = $2";
const LIST_MEMBERS: &str = "SELECT user_id, role, name, email, monthly_credits_micros FROM members
    WHERE organization_id = $1";
const PUT_MEMBER: &str = "INSERT INTO members (organization_id, user_id, role, name, email, monthly_credits_micros)
    VALUES ($1, $2, $3, $4, $5, NULLIF($6, CAST(-2 AS BIGINT))) ON CONFLICT (organization_id, user_id)
    DO UPDATE SET role = excluded.role, name = excluded.name, email = excluded.email,
    monthly_credits_micros = excluded.monthly_credits_micros";
const DELETE_MEMBER: &str = "DELETE FROM members WHERE organization_id = $1 AND user_id = $2";

/// Members, on an open connection.
pub(crate) struct Members<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> Members<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    pub(crate) async fn find(&mut self, of: &OrganizationId, user: &UserId) -> Result<Option<Member>, StoreError> {
        let find = sqlx::query(FIND_MEMBER).bind(of.as_str()).bind(user.as_str());
        find.fetch_optional(&mut *self.0).await.map_err(from_driver)?.as_ref().map(Self::read).transpose()
    }

    pub(crate) async fn list(&mut self, of: &OrganizationId) -> Result<Vec<Member>, StoreError> {
        let rows = sqlx::query(LIST_MEMBERS).bind(of.as_str()).fetch_all(&mut *self.0).await.map_err(from_driver)?;
        rows.iter().map(Self::read).collect()
    }

    pub(crate) async fn put(&mut self, of: &OrganizationId, member: &Member) -> Result<(), StoreError> {
        let put = sqlx::query(PUT_MEMBER).bind(of.as_str()).bind(member.user_id.as_str()).bind(member.role.as_str());
        let put = put.bind(member.name.as_deref()).bind(member.email.as_deref());
        // An integer that may be absent is none of the types that all statements share: no limit is ever -2.
        let put = put.bind(member.monthly_credits.map_or(-2, Limit::stored_micros));
        put.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    pub(crate) async fn delete(&mut self, of: &OrganizationId, user: &UserId) -> Result<(), StoreError> {
        let delete = sqlx::query(DELETE_MEMBER).bind(of.as_str()).bind(user.as_str());
        delete.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    fn read(row: &D::Row) -> Result<Member, StoreError> {
        let role: &str = row.try_get(1).map_err(from_driver)?;
        Ok(Member {
            user_id: id("user id", row.try_get(0).map_err(from_driver)?)?,
            role: Role::from_name(role).ok_or_else(|| damaged("role", role))?,
            name: row.try_get::<Option<&str>, _>(2).map_err(from_driver)?.map(str::to_owned),
            email: row.try_get::<Option<&str>, _>(3).map_err(from_driver)?.map(str::to_owned),
            monthly_credits: row.try_get::<Option<i64>, _>(4).map_err(from_driver)?.map(Limit::from_stored_micros),
        })
    }
}
