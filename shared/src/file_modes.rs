//! The modes of what a process writes.

use rustix::{fs::Mode, process::umask};

/// Withholds what this process writes from now on from other users than the owner and its group: files get at most
/// 0640, folders at most 0750, and less if the process was started with less.
pub fn limit() {
    let before = umask(Mode::RWXO | Mode::WGRP);
    umask(before | Mode::RWXO | Mode::WGRP);
}
