package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A debianCache is a directory with package lists and packages that apt has fetched
// for this program alone: with lists, cache and configuration of its own, so that it
// needs no root and leaves the system's as they are. What is there is not fetched
// again, so that figures stay comparable; remove the directory for newer lists.
type debianCache struct {
	dir    string
	logger *slog.Logger
}

// aptHelper can read lists whatever they are compressed with.
const aptHelper = "/usr/lib/apt/apt-helper"

// aptConf follows the system's configuration. The hooks are cleared as those of
// container images remove files of the system's cache. Such images also leave
// descriptions out (languages "none"). Only packages are asked for: the sources may
// offer icons and component lists too. The sandbox user could not write below the
// directory of another one.
const aptConf = `#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear Acquire::Languages;
Acquire::Languages "en";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-hidpi::DefaultEnabled "false";
APT::Sandbox::User "root";
Dir::State::lists "%[1]s/lists";
Dir::Cache "%[1]s/cache";
Dir::Log "%[1]s/log";
`

// openDebian makes the directory, and tells apt of it.
func openDebian(dir string, logger *slog.Logger) (*debianCache, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(dir, "\"\n\\") {
		return nil, fmt.Errorf("--data %q: apt cannot be told of a directory with quotation marks, backslashes or line feeds", dir)
	}
	for _, sub := range []string{"lists/partial", "cache/archives/partial", "log"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o777); err != nil {
			return nil, err
		}
	}
	c := &debianCache{dir: dir, logger: logger}
	return c, os.WriteFile(c.path("apt.conf"), fmt.Appendf(nil, aptConf, dir), 0o666)
}

func (c *debianCache) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

// needs says what to install where a program is missing.
func needs(program, pkg string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("relevance needs %s, which is not there: run it on Debian or a derivative, with the package %s installed (%w)", program, pkg, err)
	}
	return nil
}

// run runs a program in the cache's directory.
func (c *debianCache) run(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	c.logger.Debug("bench", "ran", cmd.String(), "output", string(out))
	if err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(out[max(0, len(out)-1000):]))
	}
	for line := range strings.Lines(string(out)) {
		// apt takes a source that does not answer for a warning.
		if strings.HasPrefix(line, "W: ") || strings.HasPrefix(line, "E: ") {
			c.logger.Warn("bench", "program", program, "says", strings.TrimSpace(line))
		}
	}
	return nil
}

// listsDone is a file that says that the lists have been fetched to their end.
const listsDone = "lists.done"

// lists returns the files of package lists and of their English descriptions, in
// the order of their names. They are fetched once.
func (c *debianCache) lists(ctx context.Context) (packages, descriptions []string, err error) {
	_, err = os.Stat(c.path(listsDone))
	fetched := err == nil
	if !fetched {
		if err := needs("apt-get", "apt"); err != nil {
			return nil, nil, err
		}
		c.logger.Info("bench", "fetching", "package lists", "into", c.path("lists"))
		if err := c.run(ctx, "apt-get", "-q", "-c", c.path("apt.conf"), "update"); err != nil {
			return nil, nil, fmt.Errorf("fetching package lists: %w", err)
		}
	}
	packages, _ = filepath.Glob(c.path("lists", "*_Packages*"))
	descriptions, _ = filepath.Glob(c.path("lists", "*_Translation-en*"))
	if len(packages) == 0 || len(descriptions) == 0 {
		return nil, nil, fmt.Errorf("%s has %d package lists and %d lists of English descriptions after apt-get update, at least one of each is needed: is the network there, and do /etc/apt/sources.list and sources.list.d name a Debian archive? (remove %s to fetch again)",
			c.path("lists"), len(packages), len(descriptions), c.dir)
	}
	if fetched {
		return packages, descriptions, nil
	}
	return packages, descriptions, os.WriteFile(c.path(listsDone), nil, 0o666)
}

// readList calls fn with each paragraph of a list. What is compressed, by whatever
// the configuration says, apt's own helper reads.
func (c *debianCache) readList(ctx context.Context, name string, fn func(stanza) error) error {
	if !slices.Contains([]string{".lz4", ".xz", ".gz", ".bz2", ".zst", ".lzma"}, filepath.Ext(name)) {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := eachStanza(f, fn); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	if err := needs(aptHelper, "apt"); err != nil {
		return err
	}
	return c.readCompressed(ctx, name, fn)
}

func (c *debianCache) readCompressed(ctx context.Context, name string, fn func(stanza) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // where fn fails, nobody reads on
	cmd := exec.CommandContext(ctx, aptHelper, "cat-file", name)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := eachStanza(out, fn); err != nil {
		cancel()
		cmd.Wait()
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// unpacked returns a directory with the files of a package, which is fetched where
// it is not there yet. Nothing is installed.
func (c *debianCache) unpacked(ctx context.Context, pkg string) (string, error) {
	to := c.path("unpacked", pkg)
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	if err := errors.Join(needs("apt-get", "apt"), needs("dpkg-deb", "dpkg")); err != nil {
		return "", err
	}
	if _, _, err := c.lists(ctx); err != nil { // they say where the package is
		return "", err
	}
	c.logger.Info("bench", "fetching", pkg, "into", to)
	debs, _ := filepath.Glob(c.path(pkg + "_*.deb"))
	for _, old := range debs { // of a run that was cut off
		if err := os.Remove(old); err != nil {
			return "", err
		}
	}
	if err := c.run(ctx, "apt-get", "-q", "-c", c.path("apt.conf"), "download", pkg); err != nil {
		return "", fmt.Errorf("fetching the package %s: %w", pkg, err)
	}
	debs, _ = filepath.Glob(c.path(pkg + "_*.deb"))
	if len(debs) != 1 {
		return "", fmt.Errorf("fetching the package %s: apt-get download left %d files %s, want 1", pkg, len(debs), c.path(pkg+"_*.deb"))
	}
	// Renamed when all is there: what has the name is whole.
	part := to + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", err
	}
	if err := os.MkdirAll(part, 0o777); err != nil {
		return "", err
	}
	if err := c.run(ctx, "dpkg-deb", "-x", debs[0], part); err != nil {
		return "", fmt.Errorf("unpacking the package %s: %w", pkg, err)
	}
	return to, errors.Join(os.Rename(part, to), os.Remove(debs[0]))
}

// vocabulary returns the names of tags. Without the package the tags' own words have
// to do.
func (c *debianCache) vocabulary(ctx context.Context) (map[string]string, error) {
	dir, err := c.unpacked(ctx, "debtags")
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.logger.Warn("bench: no vocabulary of tags, their own words are the queries", "error", err)
		return nil, nil
	}
	f, err := os.Open(filepath.Join(dir, "usr/share/debtags/vocabulary"))
	if errors.Is(err, fs.ErrNotExist) {
		c.logger.Warn("bench: the package debtags has no vocabulary, the tags' own words are the queries", "error", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := parseVocabulary(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return names, nil
}

// synsets reads all of WordNet, by part of speech.
func (c *debianCache) synsets(ctx context.Context) ([]synset, error) {
	dir, err := c.unpacked(ctx, "wordnet-base")
	if err != nil {
		return nil, err
	}
	var all []synset
	for _, part := range []string{"adj", "adv", "noun", "verb"} {
		f, err := os.Open(filepath.Join(dir, "usr/share/wordnet/data."+part))
		if err != nil {
			return nil, fmt.Errorf("the package wordnet-base should have it: %w", err)
		}
		err = parseWordNet(f, func(s synset) { all = append(all, s) })
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
	}
	return all, nil
}
