//! Why there is no price, and why there is no plugin.

/// Why a call gets no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PricingError {
    /// The plugin declines the call, in its own words: for the caller to read.
    #[error("declined: {0}")]
    Refused(String),
    /// The plugin says that the definition is wrong, in its own words: for the operator to read.
    #[error("misconfigured: {0}")]
    Misconfigured(String),
    /// The plugin does not price this event type.
    #[error("not an event type that the plugin prices")]
    NotPriced,
    /// It ran out of time.
    #[error("out of time")]
    TimeLimit,
    /// It ran out of time before it could be asked.
    #[error("out of time while it started")]
    SlowStart,
    /// It asked for more memory than it may have.
    #[error("out of memory")]
    MemoryLimit,
    /// It asked for more table elements than it may have.
    #[error("out of table elements")]
    TableLimit,
    /// It nested calls too deeply.
    #[error("out of stack")]
    StackOverflow,
    /// It executed an instruction that traps.
    #[error("trapped")]
    Trap,
    /// Its answer is longer than it may be.
    #[error("the answer is too long")]
    OutputLimit,
    /// Its answer is no value of the contract: text that is no UTF-8, or a pointer to nowhere.
    #[error("the answer is no value of the contract: {0}")]
    Malformed(String),
    /// The items do not add up to the total.
    #[error("the items do not add up to the total")]
    WrongSum,
    /// An amount is below zero, over the cap, or over the quote.
    #[error("an amount is out of range")]
    OutOfRange,
    /// A label is empty, too long, or has control characters.
    #[error("a label is no plain text")]
    InvalidText,
    /// The host could not run it.
    #[error("the host could not run the plugin: {0}")]
    Host(String),
}

impl PricingError {
    /// Whether the plugin failed; to decline a call is an answer.
    pub const fn is_fault(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }

    /// The cause, one of a fixed set: the label in metrics.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Refused(_) => "declined",
            Self::Misconfigured(_) => "misconfigured",
            Self::NotPriced => "not_priced",
            Self::TimeLimit => "time_limit",
            Self::SlowStart => "slow_start",
            Self::MemoryLimit => "memory_limit",
            Self::TableLimit => "table_limit",
            Self::StackOverflow => "stack_overflow",
            Self::Trap => "trap",
            Self::OutputLimit => "output_limit",
            Self::Malformed(_) => "malformed",
            Self::WrongSum => "wrong_sum",
            Self::OutOfRange => "out_of_range",
            Self::InvalidText => "invalid_text",
            Self::Host(_) => "host",
        }
    }
}

/// Why a file is no plugin.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// The file is too large.
    #[error("it has {bytes} bytes; allowed are {bytes_max}")]
    TooLarge {
        /// What it has.
        bytes: u64,
        /// What it may have.
        bytes_max: u64,
    },
    /// It is no WebAssembly component, or a damaged one.
    #[error("it is no sound WebAssembly component: {0}")]
    NotAComponent(String),
    /// It asks for more than an instance may have before it is ever asked for a price.
    #[error("it asks for more than a call may have: {0}")]
    OverLimit(String),
    /// It asks for something from outside.
    #[error("it imports {0}; a plugin may import nothing")]
    Imports(String),
    /// It does not export what a plugin exports.
    #[error("it is no pricing plugin: {0}")]
    Exports(String),
    /// It took too long to compile.
    #[error("it took longer than {0} ms to compile")]
    CompileTime(u128),
    /// As many others as may be are being compiled, such as those that took too long.
    #[error("{0} other files are still being compiled: it is not tried before one of them is through")]
    CompilersBusy(usize),
    /// It describes itself wrongly.
    #[error("its description is wrong: {0}")]
    Description(&'static str),
    /// It failed its trial.
    #[error("it failed its trial: {0}")]
    Trial(#[from] PricingError),
    /// It answers one of its golden cases otherwise.
    #[error("it fails its golden cases: {0}")]
    Golden(String),
    /// Keys are configured, and no signature came with it.
    #[error("it is not signed; pricing.signing_keys asks for a detached ed25519 signature of the file")]
    Unsigned,
    /// None of the configured keys made its signature.
    #[error("its signature is of none of pricing.signing_keys")]
    Signature,
    /// It is not the file that its hash names.
    #[error("its content is not what its hash says")]
    OtherContent,
    /// The host could not be set up.
    #[error("the host cannot be set up: {0}")]
    Host(String),
}

impl LoadError {
    /// Whether there is no file at all.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Unreadable(why) if why.kind() == std::io::ErrorKind::NotFound)
    }

    /// The cause, one of a fixed set: the label in metrics.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::TooLarge { .. } => "file_too_large",
            Self::NotAComponent(_) => "not_a_component",
            Self::OverLimit(_) => "over_limit",
            Self::Imports(_) => "imports",
            Self::Exports(_) => "exports",
            Self::CompileTime(_) => "compile_time",
            Self::CompilersBusy(_) => "compilers_busy",
            Self::Description(_) => "description",
            Self::Trial(fault) => fault.cause(),
            Self::Golden(_) => "golden_cases",
            Self::Unsigned => "unsigned",
            Self::Signature => "signature",
            Self::OtherContent => "other_content",
            Self::Host(_) => "host",
        }
    }
}
