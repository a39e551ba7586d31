//! In: the path facts of a release. Out: [`World::walk`]: what a lookup crosses and where it ends,
//! the same on every machine. Never: a look at this machine's own files.

use crate::vocabulary::Release;

/// The symlinks and firmlinks that a lookup can meet (RUNTIME.md part 3).
#[derive(Clone, Debug)]
pub struct World {
    symlinks: Vec<(String, String)>,
    firmlinks: Vec<(String, String)>,
}

/// What a lookup did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Symlinks on the way, each in its own resolved spelling.
    pub crossed: Vec<String>,
    /// The spelling that the kernel compares.
    pub resolved: String,
}

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// Not from the root.
    #[error("'{0}' is no absolute path")]
    Relative(String),
    /// A circle of symlinks.
    #[error("'{0}': too many levels of symbolic links")]
    Loop(String),
}

/// As MAXSYMLINKS of the system.
const MAX_SYMLINKS: usize = 32;

impl World {
    /// A Mac of this release with nothing added.
    #[must_use]
    pub fn of(release: &Release) -> Self {
        let paths = release.paths();
        let volume = paths.data_volume.as_deref().unwrap_or_default();
        let shown = |path: &String| (format!("{volume}{path}"), path.clone());
        Self { symlinks: paths.symlinks.clone(), firmlinks: paths.firmlinks.iter().map(shown).collect() }
    }

    /// Adds a symlink. Its own path must be in resolved spelling; its target may be relative.
    #[must_use]
    pub fn with_symlink(mut self, path: &str, target: &str) -> Self {
        self.symlinks.push((path.to_owned(), target.to_owned()));
        self
    }

    /// The symlinks whose targets are the aliases of a Mac: `/tmp` and the like.
    #[must_use]
    pub fn symlinks(&self) -> &[(String, String)] {
        &self.symlinks
    }

    /// Looks a path up: symlinks are followed and noted, `..` is resolved, and a spelling by way
    /// of the data volume becomes the one at the root.
    ///
    /// # Errors
    /// A relative path, or a circle of symlinks.
    pub fn walk(&self, path: &str) -> Result<Walk, WalkError> {
        if !path.starts_with('/') {
            return Err(WalkError::Relative(path.to_owned()));
        }
        let mut crossed = Vec::new();
        let mut resolved = String::new();
        // What is still to be looked up, last component first.
        let mut rest: Vec<String> = components(path);
        while let Some(component) = rest.pop() {
            if component == ".." {
                resolved.truncate(resolved.rfind('/').unwrap_or(0));
                continue;
            }
            let here = format!("{resolved}/{component}");
            if let Some((_, target)) = self.symlinks.iter().find(|(link, _)| *link == here) {
                crossed.push(here);
                if crossed.len() > MAX_SYMLINKS {
                    return Err(WalkError::Loop(path.to_owned()));
                }
                if target.starts_with('/') {
                    resolved.clear();
                }
                rest.extend(components(target));
                continue;
            }
            resolved = self.firmlinks.iter().find(|(data, _)| *data == here).map_or(here, |(_, root)| root.clone());
        }
        if resolved.is_empty() {
            resolved.push('/');
        }
        Ok(Walk { crossed, resolved })
    }
}

fn components(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").rev().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::DEFAULT_RELEASE;

    fn world() -> World {
        World::of(Release::named(DEFAULT_RELEASE).unwrap_or_else(|error| panic!("{error}")))
    }

    /// RUNTIME.md part 3, "Alias pairs seen".
    #[test]
    fn aliases() {
        let world = world().with_symlink("/private/tmp/d/link", "../../var/tmp");
        let resolved = |path: &str| world.walk(path).map(|walk| (walk.resolved, walk.crossed));
        let crossed = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(resolved("/tmp/x"), Ok(("/private/tmp/x".into(), crossed(&["/tmp"]))));
        assert_eq!(resolved("/var/tmp/x"), Ok(("/private/var/tmp/x".into(), crossed(&["/var"]))));
        assert_eq!(resolved("/etc/hosts"), Ok(("/private/etc/hosts".into(), crossed(&["/etc"]))));
        assert_eq!(resolved("/private/tmp/nested/../foo"), Ok(("/private/tmp/foo".into(), crossed(&[]))));
        assert_eq!(resolved("/System/Volumes/Data/private/tmp/x"), Ok(("/private/tmp/x".into(), crossed(&[]))));
        assert_eq!(
            resolved("/tmp/d/link/x"),
            Ok(("/private/var/tmp/x".into(), crossed(&["/tmp", "/private/tmp/d/link"])))
        );
        assert_eq!(resolved("/../.."), Ok(("/".into(), crossed(&[]))));
    }

    #[test]
    fn a_circle_ends() {
        let world = world().with_symlink("/a", "/b").with_symlink("/b", "/a");
        assert_eq!(world.walk("/a/x"), Err(WalkError::Loop("/a/x".into())));
        assert_eq!(world.walk("x"), Err(WalkError::Relative("x".into())));
    }
}
