//! `[log]`: how much is said, and how it looks.

use crate::document::Document;
use crate::section::Section;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text at a terminal, JSON otherwise.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level, or levels by target such as `info,access=off`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

impl Log {
    pub(crate) fn read(document: &mut Document) -> Self {
        let formats = [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)];
        let mut section = Section::open(document, "log");
        let level = section.text("level").unwrap_or_else(|| "info".to_owned());
        if !level.split(',').all(is_directive) {
            let allowed = "error, warn, info, debug or trace, alone or by target such as info,access=off";
            section.wrong("level", &format!("is \"{level}\""), allowed);
        }
        let read = Self { level, format: section.choice("format", LogFormat::Auto, &formats) };
        section.close();
        read
    }
}

fn is_directive(directive: &str) -> bool {
    let level =
        directive.rsplit_once('=').map_or(directive, |(target, level)| if target.is_empty() { "" } else { level });
    matches!(level.trim(), "off" | "error" | "warn" | "info" | "debug" | "trace")
}
