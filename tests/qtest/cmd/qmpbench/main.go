// Command qmpbench measures the control side of gqemu beside an installed
// QEMU, in one run that alternates between the two, and prints medians with
// their ratios.
//
//	qmpbench [-gqemu bin/gqemu] [-qemu qemu-system-x86_64] [-n 15]
//
// Both get the same command line, but for the accelerator: QEMU runs with
// -accel tcg, since distributions build it without qtest, gqemu with -accel
// qtest; both with -S, so that no guest code runs. Without a QEMU gqemu is
// measured alone. The aim is a fifth of QEMU's time and 0.4 of its memory. On a
// busy machine only the CPU time of a whole life, from start to exit, is to be
// trusted.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
)

// machines are measured one by one where the machine matters.
var machines = []string{"none", "microvm", "q35"}

func main() {
	ours := flag.String("gqemu", "bin/gqemu", "the gqemu to measure")
	theirs := flag.String("qemu", "qemu-system-x86_64", "the QEMU to compare with")
	n := flag.Int("n", 15, "how often each figure is taken")
	flag.Parse()
	if err := run(*ours, *theirs, *n); err != nil {
		fmt.Fprintln(os.Stderr, "qmpbench:", err)
		os.Exit(1)
	}
}

func run(ours, theirs string, n int) error {
	emulators := []emulator{{name: "gqemu", path: ours, accel: "qtest"}}
	if path, err := exec.LookPath(theirs); err == nil {
		emulators = append(emulators, emulator{name: "QEMU", path: path, accel: "tcg"})
	} else {
		fmt.Fprintln(os.Stderr, "qmpbench: there is no QEMU to compare with:", err)
	}
	for _, e := range emulators {
		fmt.Printf("%s: %s\n", e.name, e.version())
	}
	results := make([]results, len(emulators))
	for i := range emulators {
		results[i] = map[string][]float64{}
	}
	// The emulators take turns, so that a busy moment of the machine meets
	// both.
	for round := range n + 1 {
		for i, e := range emulators {
			into := results[i]
			if round == 0 {
				into = map[string][]float64{} // caches warm up
			}
			if err := e.measure(into); err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
		}
	}
	printTable(results)
	return nil
}

// results are the figures of one emulator by the name of the measure.
type results map[string][]float64

func (r results) median(name string) float64 {
	l := slices.Clone(r[name])
	if len(l) == 0 {
		return 0
	}
	slices.Sort(l)
	return (l[(len(l)-1)/2] + l[len(l)/2]) / 2
}

// measures lists what is printed.
func measures() []measure {
	var l []measure
	for _, m := range machines {
		l = append(l, measure{"start, " + m, "ms", false, 5})
	}
	l = append(l,
		measure{"query-status", "/s", true, 5},
		measure{"query-qmp-schema", "/s", true, 5},
		measure{"query-qmp-schema, bytes", "", false, 0},
		measure{"object-add + object-del", "/s", true, 5},
	)
	for _, m := range machines {
		l = append(l, measure{"memory, " + m, "MiB", false, 2.5})
	}
	for _, m := range machines {
		l = append(l, measure{"quit to exit, " + m, "ms", false, 5})
	}
	for _, m := range machines {
		l = append(l, measure{"CPU time of it all, " + m, "ms", false, 0})
	}
	return append(l, measure{"qtest readl", "/s", true, 0}, measure{"qtest outb", "/s", true, 0},
		measure{"qtest read 4 KiB", "/s", true, 0})
}

// measure is one line of the table. aim is how many times better than QEMU
// gqemu is to be; 0 for none.
type measure struct {
	name, unit string
	more       bool // is better
	aim        float64
}

func printTable(r []results) {
	fmt.Printf("\n| %-26s | %14s | %14s | %9s |      |\n", "", "QEMU", "gqemu", "ratio")
	fmt.Println("|----------------------------|---------------:|---------------:|----------:|------|")
	for _, m := range measures() {
		own := r[0].median(m.name)
		qemu, ratio, verdict := "", "", ""
		if len(r) > 1 && r[1].median(m.name) > 0 && own > 0 {
			other := r[1].median(m.name)
			qemu = figure(other, m.unit)
			better := other / own
			if m.more {
				better = own / other
			}
			switch {
			case m.unit == "":
			case m.unit == "MiB":
				// Of memory people say what is left of it.
				ratio = fmt.Sprintf("%.2f of", own/other)
			default:
				ratio = fmt.Sprintf("%.1f times", better)
			}
			if m.aim > 0 && better < m.aim {
				verdict = "aim missed"
			}
		}
		fmt.Printf("| %-26s | %14s | %14s | %9s | %s |\n", m.name, qemu, figure(own, m.unit), ratio, verdict)
	}
}

func figure(v float64, unit string) string {
	prec := 0
	if v < 100 && unit != "" {
		prec = 1
	}
	s := fmt.Sprintf("%.*f", prec, v)
	switch unit {
	case "":
		return s
	case "/s":
		return s + unit
	}
	return s + " " + unit
}
