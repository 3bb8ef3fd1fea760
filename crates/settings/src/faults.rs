//! What is wrong with a configuration: file, key, line, what is wrong, what is allowed. Never a secret.

use std::fmt;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, or the variable of the environment.
    pub origin: String,
    /// The line in the file, from 1.
    pub line: Option<usize>,
    /// The key, such as `server.max_body`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What is allowed; empty where there is nothing to say.
    pub allowed: String,
}

impl Fault {
    pub(crate) fn file(name: &str, what: String) -> Self {
        Self { origin: name.to_owned(), line: None, key: String::new(), what, allowed: String::new() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", in_one_line(&self.key))?;
        }
        write!(f, ": {}", in_one_line(&self.what))?;
        if !self.allowed.is_empty() {
            write!(f, "; allowed: {}", self.allowed)?;
        }
        Ok(())
    }
}

/// A key in quotes and a text may have anything in them; a fault is one line.
fn in_one_line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// All faults of a configuration, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    pub(crate) fn one(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
