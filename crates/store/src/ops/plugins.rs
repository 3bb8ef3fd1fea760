//! Uploaded plugins, and which of them sets prices for whom.

use ledger::{PluginFile, PluginHash, Rollout, StoreError, StoredPlugin};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{count, from_text, to_text};
use crate::dialect::Dialect;
use crate::error::from_driver;

const FIND_PLUGIN: &str = "SELECT document FROM plugins WHERE sha256 = $1";
const LIST_PLUGINS: &str = "SELECT document FROM plugins ORDER BY uploaded_at_ms DESC, sha256";
const COUNT_PLUGINS: &str = "SELECT COUNT(*) FROM plugins";
const PUT_PLUGIN: &str = "INSERT INTO plugins (sha256, uploaded_at_ms, document) VALUES ($1, $2, $3)
    ON CONFLICT (sha256) DO UPDATE SET document = excluded.document";
const FIND_FILE: &str = "SELECT cases, signature, content FROM plugin_files WHERE sha256 = $1";
/// The content is what its hash says: it never changes.
const PUT_FILE: &str = "INSERT INTO plugin_files (sha256, cases, signature, content) VALUES ($1, $2, $3, $4)
    ON CONFLICT (sha256) DO UPDATE SET cases = excluded.cases, signature = excluded.signature";
const FIND_ROLLOUT: &str = "SELECT document FROM pricing_rollout WHERE one = 1";
const PUT_ROLLOUT: &str = "INSERT INTO pricing_rollout (one, document) VALUES (1, $1)
    ON CONFLICT (one) DO UPDATE SET document = excluded.document";

/// Uploaded plugins and the rollout, on an open connection.
pub(crate) struct Plugins<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> Plugins<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> &'v [u8]: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    pub(crate) async fn find(&mut self, of: &PluginHash) -> Result<Option<StoredPlugin>, StoreError> {
        let row = sqlx::query(FIND_PLUGIN).bind(of.as_str()).fetch_optional(&mut *self.0).await.map_err(from_driver)?;
        row.map(|row| from_text("plugin", row.try_get(0).map_err(from_driver)?)).transpose()
    }

    pub(crate) async fn list(&mut self) -> Result<Vec<StoredPlugin>, StoreError> {
        let rows = sqlx::query(LIST_PLUGINS).fetch_all(&mut *self.0).await.map_err(from_driver)?;
        rows.iter().map(|row| from_text("plugin", row.try_get(0).map_err(from_driver)?)).collect()
    }

    pub(crate) async fn count(&mut self) -> Result<u64, StoreError> {
        let row = sqlx::query(COUNT_PLUGINS).fetch_one(&mut *self.0).await.map_err(from_driver)?;
        count(row.try_get(0).map_err(from_driver)?)
    }

    pub(crate) async fn put(&mut self, plugin: &StoredPlugin, file: &PluginFile) -> Result<(), StoreError> {
        let document = to_text(plugin)?;
        let put = sqlx::query(PUT_PLUGIN)
            .bind(plugin.sha256.as_str())
            .bind(plugin.uploaded_at.millis())
            .bind(document.as_str());
        put.execute(&mut *self.0).await.map_err(from_driver)?;
        let put = sqlx::query(PUT_FILE)
            .bind(plugin.sha256.as_str())
            .bind(file.cases.as_deref())
            .bind(file.signature.as_deref())
            .bind(file.content.as_slice());
        put.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    pub(crate) async fn file(&mut self, of: &PluginHash) -> Result<Option<PluginFile>, StoreError> {
        let row = sqlx::query(FIND_FILE).bind(of.as_str()).fetch_optional(&mut *self.0).await.map_err(from_driver)?;
        let Some(row) = row else { return Ok(None) };
        let cases: Option<&str> = row.try_get(0).map_err(from_driver)?;
        let signature: Option<&str> = row.try_get(1).map_err(from_driver)?;
        let content: &[u8] = row.try_get(2).map_err(from_driver)?;
        Ok(Some(PluginFile {
            content: content.to_vec(),
            cases: cases.map(str::to_owned),
            signature: signature.map(str::to_owned),
        }))
    }

    pub(crate) async fn rollout(&mut self) -> Result<Rollout, StoreError> {
        let row = sqlx::query(FIND_ROLLOUT).fetch_optional(&mut *self.0).await.map_err(from_driver)?;
        row.map_or_else(|| Ok(Rollout::default()), |row| from_text("rollout", row.try_get(0).map_err(from_driver)?))
    }

    pub(crate) async fn put_rollout(&mut self, rollout: &Rollout) -> Result<(), StoreError> {
        let document = to_text(rollout)?;
        sqlx::query(PUT_ROLLOUT).bind(document.as_str()).execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }
}
