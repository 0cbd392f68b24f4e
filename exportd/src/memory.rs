//! How the process holds memory.
//!
//! glibc gives each thread an arena and keeps in it what large buffers once took, so that a process is as large as the sum of
//! its threads' peaks. These three settings of mallopt(3) bound it (docs/benchmarks.md has the figures); they can only be made
//! from outside, so the program starts itself once more with them, under the same process id.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
const SETTINGS: [(&str, &str); 3] = [
    // Buffers of a megabyte and more are mapped, and unmapped when they are dropped.
    ("MALLOC_MMAP_THRESHOLD_", "1048576"),
    ("MALLOC_TRIM_THRESHOLD_", "1048576"),
    ("MALLOC_ARENA_MAX", "2"),
];

/// Starts the program anew with the settings, unless the environment already has one of them: an operator's choice stands.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(clippy::disallowed_methods, reason = "decides how the program starts; no configuration is read")]
pub(crate) fn settle() {
    use std::os::unix::process::CommandExt as _;

    let chosen = SETTINGS.iter().any(|(name, _)| std::env::var_os(name).is_some());
    let Ok(program) = std::env::current_exe() else { return };
    if chosen {
        return;
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| program.clone().into());
    // It returns only if that was not possible; the program then runs on as it is, only larger.
    let _not_started = std::process::Command::new(program).arg0(name).args(arguments).envs(SETTINGS).exec();
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn settle() {}
