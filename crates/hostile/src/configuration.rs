//! Configurations as people write them.

/// A configuration is read, or each of its faults is one line that names the file.
pub fn configuration(file: &[u8]) {
    let Ok(text) = std::str::from_utf8(file) else { return };
    let Err(faults) = settings::parse("a.toml", text, []) else { return };
    assert!(!faults.0.is_empty(), "it is refused for a reason");
    for fault in &faults.0 {
        let line = fault.to_string();
        assert!(line.starts_with("a.toml") && !line.contains('\n'), "{line:?}");
    }
}
