//! A scanner over JSON text (RFC 8259) that validates and finds places, without building anything.

/// How deep arrays and objects may nest.
pub(crate) const DEPTH_MAX: usize = 128;

/// Where a text stops being JSON, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte offset.
    pub(crate) at: usize,
    /// What was wrong.
    pub(crate) reason: &'static str,
}

/// A cursor over JSON text that is valid UTF-8.
pub(crate) struct Scanner<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) at: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    pub(crate) fn fault<T>(&self, reason: &'static str) -> Result<T, Fault> {
        Err(Fault { at: self.at, reason })
    }

    /// The next byte that is no white space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// Passes one byte that must be `want`.
    pub(crate) fn pass(&mut self, want: u8, reason: &'static str) -> Result<(), Fault> {
        if self.peek() == Some(want) {
            self.at += 1;
            return Ok(());
        }
        self.fault(reason)
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fault("more after the end of the value"),
        }
    }

    /// Passes a value; answers where it begins and ends.
    pub(crate) fn value(&mut self) -> Result<(usize, usize), Fault> {
        let first = self.peek();
        let from = self.at;
        match first {
            Some(b'{') => self.object(|scanner, _key, _at| scanner.value().map(drop))?,
            Some(b'[') => self.array(|scanner| scanner.value().map(drop))?,
            Some(b'"') => drop(self.string()?),
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return self.fault("a value was expected"),
            None => return self.fault("the text ends too early"),
        }
        Ok((from, self.at))
    }

    /// Passes an object; `member` passes each value and is told the key, quotes and escapes and all, and where it begins.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a [u8], usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.pass(b'{', "an object was expected")?;
        self.deeper()?;
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                if self.peek() != Some(b'"') {
                    return self.fault("a member's name was expected");
                }
                let (from, to) = self.string()?;
                let key = self.text.get(from..to).unwrap_or_default();
                self.pass(b':', "a colon was expected")?;
                self.peek();
                member(self, key, from)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break self.at += 1,
                    _ => return self.fault("a comma or the object's end was expected"),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Passes an array; `item` passes each value.
    pub(crate) fn array(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.pass(b'[', "an array was expected")?;
        self.deeper()?;
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                self.peek();
                item(self)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break self.at += 1,
                    _ => return self.fault("a comma or the array's end was expected"),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), Fault> {
        if self.depth >= DEPTH_MAX {
            return self.fault("nested too deeply");
        }
        self.depth += 1;
        Ok(())
    }

    /// Passes a string; answers where it begins and ends, quotes included.
    pub(crate) fn string(&mut self) -> Result<(usize, usize), Fault> {
        let from = self.at;
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
            // Most strings have no control character: to look at all bytes at once is quicker than to stop at each.
            if rest.iter().take(plain).fold(u8::MAX, |least, byte| least.min(*byte)) < 0x20 {
                self.at += rest.iter().position(|byte| *byte < 0x20).unwrap_or(plain);
                return self.fault("a control character in a string");
            }
            self.at += plain;
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((from, self.at));
                }
                Some(_) => self.escape()?,
                None => return self.fault("a string without an end"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.text.get(self.at + 2..self.at + 6).unwrap_or_default();
                if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return self.fault("a bad \\u escape");
                }
                self.at += 6;
            }
            _ => return self.fault("a bad escape"),
        }
        Ok(())
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return self.fault("a value was expected");
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        let byte = |scanner: &Self| scanner.text.get(scanner.at).copied();
        if byte(self) == Some(b'-') {
            self.at += 1;
        }
        match byte(self) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return self.fault("a bad number"),
        }
        if byte(self) == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = byte(self) {
            self.at += 1;
            if let Some(b'+' | b'-') = byte(self) {
                self.at += 1;
            }
            self.digits()?;
        }
        match byte(self) {
            Some(b'0'..=b'9') => self.fault("a bad number"),
            _ => Ok(()),
        }
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.text.get(self.at) {
            self.at += 1;
        }
        if self.at == from { self.fault("a bad number") } else { Ok(()) }
    }
}

/// How many UTF-16 code units a JSON string has, quotes included in `raw`: each escape is one, a lone surrogate too.
pub(crate) fn count_units(raw: &[u8]) -> usize {
    let mut rest = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let mut units = 0;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        units += count_text_units(plain) + 1;
        let escape_bytes = if escape.get(1) == Some(&b'u') { 6 } else { 2 };
        rest = escape.get(escape_bytes..).unwrap_or_default();
    }
    units + count_text_units(rest)
}

/// How many UTF-16 code units a UTF-8 text has: one a character, two where it takes four bytes.
pub(crate) fn count_text_units(text: &[u8]) -> usize {
    let units = |byte: &u8| u8::from(byte & 0xc0 != 0x80) + u8::from(*byte >= 0xf0);
    // In portions whose sum fits a byte, which is what lets the compiler count many at once.
    text.chunks(64).map(|portion| usize::from(portion.iter().map(units).sum::<u8>())).sum()
}

/// The UTF-16 code units of a JSON string, quotes included in `raw`: escapes decoded, a lone surrogate counted as the
/// one unit that it is to JavaScript.
pub(crate) fn units(raw: &[u8]) -> impl Iterator<Item = u16> + Clone + '_ {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    Units { text: std::str::from_utf8(inner).unwrap_or_default(), low: None }
}

#[derive(Clone)]
struct Units<'a> {
    text: &'a str,
    low: Option<u16>,
}

impl Iterator for Units<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if let Some(low) = self.low.take() {
            return Some(low);
        }
        let mut chars = self.text.chars();
        let first = chars.next()?;
        let mut taken = chars.as_str();
        let unit = match first {
            '\\' => {
                let kind = chars.next()?;
                taken = chars.as_str();
                match kind {
                    'u' => {
                        let digits = taken.get(..4)?;
                        taken = taken.get(4..)?;
                        u16::from_str_radix(digits, 16).ok()?
                    }
                    'b' => 8,
                    'f' => 12,
                    'n' => 10,
                    'r' => 13,
                    't' => 9,
                    other => u16::try_from(u32::from(other)).ok()?,
                }
            }
            other => {
                let mut pair = [0; 2];
                let pair = other.encode_utf16(&mut pair);
                self.low = pair.get(1).copied();
                *pair.first()?
            }
        };
        self.text = taken;
        Some(unit)
    }
}

/// A JSON string as text; `None` where it has a lone surrogate.
pub(crate) fn text(raw: &[u8]) -> Option<String> {
    if !raw.contains(&b'\\') {
        return std::str::from_utf8(raw.get(1..raw.len().saturating_sub(1))?).ok().map(str::to_owned);
    }
    char::decode_utf16(units(raw)).collect::<Result<_, _>>().ok()
}

/// Whether a JSON string, quotes and escapes and all, says `name`.
pub(crate) fn says(raw: &[u8], name: &str) -> bool {
    if memchr::memchr(b'\\', raw).is_some() {
        return units(raw).eq(name.encode_utf16());
    }
    raw.get(1..raw.len().saturating_sub(1)) == Some(name.as_bytes())
}

#[cfg(test)]
pub(crate) mod tests;
