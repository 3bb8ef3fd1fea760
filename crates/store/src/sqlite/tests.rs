use tempfile::TempDir;

use crate::contract::in_folder;
use crate::{Occupancy, Options, open};

fn options(folder: &TempDir, occupancy: Occupancy) -> Options {
    Options { url: in_folder(folder.path()), readers: 1, occupancy }
}

#[tokio::test]
async fn a_database_has_one_owner_whatever_name_it_is_called_by() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(options(&folder, Occupancy::Gateway)).await.unwrap();
    let at = |name: &str| folder.path().join(name);
    let opening = async |name: &str| {
        let url = format!("sqlite:{}", at(name).display());
        let opened = open(Options { url, readers: 1, occupancy: Occupancy::Gateway }).await;
        opened.err().map(|error| error.to_string()).unwrap_or_default()
    };
    std::os::unix::fs::symlink(at("usage.db"), at("link.db")).unwrap();
    assert!(opening("link.db").await.contains("is owned by another gateway"), "{}", opening("link.db").await);
    std::fs::hard_link(at("usage.db"), at("hard.db")).unwrap();
    assert!(opening("hard.db").await.contains("has more than one name"), "{}", opening("hard.db").await);
}

#[tokio::test]
async fn a_visitor_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let missing = open(options(&folder, Occupancy::Visitor)).await.err().unwrap();
    assert!(missing.to_string().contains("does not exist yet"), "{missing}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
