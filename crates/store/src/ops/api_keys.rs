//! Keys of machines, each under the digest of its secret.

use ledger::{ApiKey, ApiKeyId, KeyDigest, OrganizationId, StoreError};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{count, from_text, id, to_text};
use crate::dialect::Dialect;
use crate::error::from_driver;

const ADD_KEY: &str = "INSERT INTO api_keys (key_id, organization_id, digest, document) VALUES ($1, $2, $3, $4)";
const FIND_KEY: &str = "SELECT digest, document FROM api_keys WHERE organization_id = $1 AND key_id = $2";
const FIND_DIGEST: &str = "SELECT digest, document FROM api_keys WHERE digest = $1";
const LIST_KEYS: &str = "SELECT digest, document FROM api_keys WHERE organization_id = $1";
const LIST_ALL: &str = "SELECT digest, document FROM api_keys";
const COUNT_KEYS: &str = "SELECT COUNT(*) FROM api_keys WHERE organization_id = $1";
const DROP_KEY: &str = "DELETE FROM api_keys WHERE organization_id = $1 AND key_id = $2";

/// Keys, on an open connection.
pub(crate) struct KeyRows<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> KeyRows<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    pub(crate) async fn add(&mut self, key: &ApiKey, digest: &KeyDigest) -> Result<(), StoreError> {
        let add = sqlx::query(ADD_KEY).bind(key.id.as_str()).bind(key.organization_id.as_str());
        let (digest, document) = (digest.to_string(), to_text(key)?);
        add.bind(digest.as_str()).bind(document.as_str()).execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    pub(crate) async fn find(&mut self, of: &OrganizationId, key: &ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        let find = sqlx::query(FIND_KEY).bind(of.as_str()).bind(key.as_str());
        let row = find.fetch_optional(&mut *self.0).await.map_err(from_driver)?;
        Ok(row.as_ref().map(Self::read).transpose()?.map(|(_, key)| key))
    }

    pub(crate) async fn find_by(&mut self, digest: &KeyDigest) -> Result<Option<ApiKey>, StoreError> {
        let digest = digest.to_string();
        let find = sqlx::query(FIND_DIGEST).bind(digest.as_str());
        let row = find.fetch_optional(&mut *self.0).await.map_err(from_driver)?;
        Ok(row.as_ref().map(Self::read).transpose()?.map(|(_, key)| key))
    }

    pub(crate) async fn list(&mut self, of: &OrganizationId) -> Result<Vec<(KeyDigest, ApiKey)>, StoreError> {
        let list = sqlx::query(LIST_KEYS).bind(of.as_str());
        list.fetch_all(&mut *self.0).await.map_err(from_driver)?.iter().map(Self::read).collect()
    }

    pub(crate) async fn list_all(&mut self) -> Result<Vec<(KeyDigest, ApiKey)>, StoreError> {
        sqlx::query(LIST_ALL).fetch_all(&mut *self.0).await.map_err(from_driver)?.iter().map(Self::read).collect()
    }

    pub(crate) async fn count(&mut self, of: &OrganizationId) -> Result<u64, StoreError> {
        let row = sqlx::query(COUNT_KEYS).bind(of.as_str()).fetch_one(&mut *self.0).await.map_err(from_driver)?;
        count(row.try_get(0).map_err(from_driver)?)
    }

    pub(crate) async fn remove(&mut self, of: &OrganizationId, key: &ApiKeyId) -> Result<(), StoreError> {
        let drop = sqlx::query(DROP_KEY).bind(of.as_str()).bind(key.as_str());
        drop.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    fn read(row: &D::Row) -> Result<(KeyDigest, ApiKey), StoreError> {
        let digest = id("digest of an API key", row.try_get(0).map_err(from_driver)?)?;
        Ok((digest, from_text("API key", row.try_get(1).map_err(from_driver)?)?))
    }
}
