//! The file of a re-rating: a line that says what was re-rated, a line a call whose price differs, and the totals, each a
//! JSON object. It is for people to read, and is never applied unless it is whole.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ledger::{Credits, Hexadecimal, NewPrice, OrganizationId, Period, PlanName, PluginIdentity};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::super::Failure;
use super::super::recorded::Which;
use super::super::replay::Sum;

/// The version of the file's form.
const FORM: u32 = 1;

/// What was re-rated, and by what.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Head {
    rerating: u32,
    pub(super) plugin: PluginIdentity,
    from: Period,
    to: Period,
    organization_id: Option<OrganizationId>,
    plan_unless_noted: PlanName,
}

/// What it adds up to.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Totals {
    /// Calls that were priced anew.
    events: u64,
    /// Lines of the plan.
    pub(super) differing: u64,
    /// Calls without a new price, which stay as they are.
    without_price: u64,
    /// Calls of which too little is known for more than an estimate; where more was known before, they stay as they are.
    estimated: u64,
    /// Σ of the lines.
    charged: Credits,
    price: Credits,
    pub(super) difference: Credits,
}

impl Head {
    pub(super) fn new(plugin: PluginIdentity, which: &Which, plan_unless_noted: PlanName) -> Self {
        let Which { months: (from, to), organization } = which;
        Self { rerating: FORM, plugin, from: *from, to: *to, organization_id: organization.clone(), plan_unless_noted }
    }
}

impl Totals {
    fn add(&mut self, price: &NewPrice) -> anyhow::Result<()> {
        let sum = |sum: Credits, more| sum.checked_add(more).context("the sums are too large to be counted");
        self.differing = self.differing.saturating_add(1);
        self.charged = sum(self.charged, price.charged)?;
        self.price = sum(self.price, price.price)?;
        self.difference = sum(self.difference, price.difference)?;
        Ok(())
    }
}

/// A plan that is being written. It comes to be under its name when it is whole.
pub(super) struct PlanFile {
    file: BufWriter<tempfile::NamedTempFile>,
    path: PathBuf,
    totals: Totals,
}

impl PlanFile {
    pub(super) fn create(path: &Path, head: &Head) -> Result<Self, Failure> {
        if path.exists() {
            return Err(Failure::Usage(format!(
                "{}: it is there already; a plan is never overwritten",
                path.display()
            )));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let file = tempfile::NamedTempFile::new_in(folder).with_context(|| path.display().to_string())?;
        let mut plan = Self { file: BufWriter::new(file), path: path.to_owned(), totals: Totals::default() };
        plan.line(head)?;
        Ok(plan)
    }

    pub(super) fn add(&mut self, price: &NewPrice) -> anyhow::Result<()> {
        self.totals.add(price)?;
        self.line(price)
    }

    pub(super) fn finish(mut self, sum: &Sum) -> Result<Totals, Failure> {
        let mut totals = std::mem::take(&mut self.totals);
        (totals.events, totals.without_price, totals.estimated) = (sum.events, sum.unpriced, sum.estimated);
        self.line(&totals)?;
        let path = &self.path;
        let file = self
            .file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .with_context(|| path.display().to_string())?;
        file.as_file().sync_all().with_context(|| path.display().to_string())?;
        file.persist_noclobber(path).with_context(|| path.display().to_string())?;
        Ok(totals)
    }

    fn line(&mut self, line: &impl Serialize) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.file, line).with_context(|| self.path.display().to_string())?;
        self.file.write_all(b"\n").with_context(|| self.path.display().to_string())
    }
}

/// A plan that is whole.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) head: Head,
    pub(super) totals: Totals,
    /// Of the file.
    pub(super) sha256: String,
}

/// Reads all of a plan: each line, and whether the totals are those of the lines.
pub(super) fn verify(path: &Path) -> Result<Plan, Failure> {
    let fault = |line: usize, why: String| Failure::Faults(vec![format!("{}: line {line}: {why}", path.display())]);
    let (mut hash, mut sums, mut head, mut last) = (Sha256::new(), Totals::default(), None, None);
    let mut lines = 0;
    for line in open(path)?.lines() {
        let line = line.with_context(|| path.display().to_string())?;
        lines += 1;
        hash.update(&line);
        hash.update("\n");
        if head.is_none() {
            let read: Head = serde_json::from_str(&line).map_err(|error| fault(lines, error.to_string()))?;
            if read.rerating != FORM {
                return Err(fault(lines, format!("its form is {}; this gateway knows {FORM}", read.rerating)));
            }
            head = Some(read);
            continue;
        }
        // Only what another line follows is known to be a call's.
        if let Some(before) = last.replace(line) {
            let price: NewPrice = serde_json::from_str(&before).map_err(|error| fault(lines - 1, error.to_string()))?;
            let is_difference = price.charged.checked_add(price.difference) == Some(price.price);
            if !is_difference || price.difference == Credits::ZERO || price.price.is_negative() {
                return Err(fault(
                    lines - 1,
                    "the difference is not that of the price and what was charged".to_owned(),
                ));
            }
            sums.add(&price)?;
        }
    }
    let (Some(head), Some(last)) = (head, last) else { return Err(fault(lines, "the plan is not whole".to_owned())) };
    let totals: Totals =
        serde_json::from_str(&last).map_err(|error| fault(lines, format!("the totals are missing: {error}")))?;
    let all = |of: &Totals| (of.differing, of.charged, of.price, of.difference);
    if all(&totals) != all(&sums) {
        return Err(fault(
            lines,
            "the totals are not those of the lines: the plan was changed or is not whole".to_owned(),
        ));
    }
    let sha256 = Hexadecimal(&hash.finalize()).to_string();
    Ok(Plan { head, totals, sha256 })
}

/// The calls of a plan that was verified, which are `differing`.
pub(super) fn prices(path: &Path, differing: u64) -> Result<impl Iterator<Item = anyhow::Result<NewPrice>>, Failure> {
    let calls = open(path)?.lines().skip(1).take(usize::try_from(differing).context("the plan")?);
    Ok(calls.map(|line| serde_json::from_str(&line.context("the plan")?).context("the plan")))
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    Ok(BufReader::new(File::open(path).with_context(|| path.display().to_string())?))
}
