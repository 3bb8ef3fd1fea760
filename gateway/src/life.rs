//! One life of this gateway: what the life before left in the journal is applied in its name, its leases go back, and a
//! new name is written down before the first lease is asked for. A life must never spend under another one's name.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use journal::Journal;
use ledger::{InstanceId, Timestamp};
use store::Store;

use crate::applier::{self, Destination};
use crate::leases::Leases;

/// The file beside the journal that names the life whose records are in it.
const FILE: &str = "instance";

/// What a life begins with.
pub(crate) struct Life {
    /// Where its usage events go.
    pub(crate) destination: Destination,
    /// Its leases; `None` where this gateway owns the database.
    pub(crate) leases: Option<Arc<Leases>>,
    /// Its name, where others share the database.
    pub(crate) instance: Option<InstanceId>,
    /// How many events of the life before were applied.
    pub(crate) replayed: u64,
}

/// Ends the life before and begins one.
pub(crate) async fn begin(
    store: &Arc<dyn Store>,
    journal: &Journal,
    directory: &Path,
    now: Timestamp,
) -> anyhow::Result<Life> {
    let Some(leases) = Arc::clone(store).leases() else {
        let destination = Destination::Whole(store.clone());
        let replayed = replay(journal, &destination).await?;
        free_keys(store, None).await?;
        return Ok(Life { destination, leases: None, instance: None, replayed });
    };
    let before = read(directory).context("journal.directory")?;
    // A journal without a name is of a time without leases: its charges are taken from none.
    let destination = match before {
        Some(before) => Destination::Leased(Arc::clone(&leases), before),
        None => Destination::Whole(store.clone()),
    };
    let replayed = replay(journal, &destination).await?;
    if let Some(before) = before {
        free_keys(store, Some(before)).await?;
        leases.retire(before).await.context("database.url: the leases of the life before cannot be given back")?;
    }
    let instance = InstanceId::new(now);
    write(directory, instance).context("journal.directory")?;
    let destination = Destination::Leased(Arc::clone(&leases), instance);
    Ok(Life { destination, leases: Some(Leases::new(leases, instance)), instance: Some(instance), replayed })
}

/// What the life before had claimed and did not charge may be tried again.
async fn free_keys(store: &Arc<dyn Store>, before: Option<InstanceId>) -> anyhow::Result<()> {
    let freed = store.free_keys_of(before).await;
    let freed = freed.context("database.url: the idempotency keys of the life before cannot be set free")?;
    if freed > 0 {
        tracing::info!(freed, "idempotency keys of calls that were not charged are free again");
    }
    Ok(())
}

async fn replay(journal: &Journal, destination: &Destination) -> anyhow::Result<u64> {
    let replayed = applier::replay(journal, destination).await;
    replayed.map_err(|error| anyhow::anyhow!(error)).context("database.url: the journal cannot be replayed")
}

fn read(directory: &Path) -> io::Result<Option<InstanceId>> {
    match fs::read_to_string(directory.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(text) => text.trim().parse().map(Some).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", directory.join(FILE).display()))
        }),
    }
}

/// On return the name survives the machine.
fn write(directory: &Path, instance: InstanceId) -> io::Result<()> {
    let next = directory.join(format!("{FILE}.next"));
    let mut file = File::create(&next)?;
    writeln!(file, "{instance}")?;
    file.sync_all()?;
    fs::rename(&next, directory.join(FILE))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_life_is_found_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        for millis in 1..3 {
            let instance = InstanceId::new(Timestamp::from_millis(millis));
            write(folder.path(), instance).unwrap();
            assert_eq!(read(folder.path()).unwrap(), Some(instance));
        }
        fs::write(folder.path().join(FILE), "nobody").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("instance"), "the message names the file");
    }
}
