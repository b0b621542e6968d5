//! What Linux says of this process.

use std::{fs, time::Duration};

/// A tick of the times in `/proc/self/stat`, which is the same on every architecture that this runs on.
const TICK: Duration = Duration::from_millis(10);
/// The places of the two times there, behind the command's name, which may hold blanks.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;

/// Bytes of memory that this process has of the machine's.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?;
    kib.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// Processor time that this process has used, in user mode and in the kernel.
pub(super) fn cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<u32>().ok();
    Some(TICK * ticks(USER_TIME)?.checked_add(ticks(SYSTEM_TIME)?)?)
}

/// File descriptors that this process has open.
pub(super) fn descriptors() -> Option<u64> {
    // Less the one that reads the folder.
    u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_descriptors_and_used_time() {
        assert!(resident_bytes().unwrap() > 1 << 20);
        assert!(descriptors().unwrap() >= 3);
        let before = cpu_time().unwrap();
        let mut number = 1_u64;
        while cpu_time().unwrap() < before + TICK * 2 {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
    }
}
