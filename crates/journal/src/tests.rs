//! The journal's promises, each tried on files of its own.

mod ahead;
mod damage;
mod failure;
mod grouping;
mod limits;
mod look;
mod model;
mod replay;
mod world;
