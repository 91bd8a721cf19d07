// Package vdpatest is a suite of tests that every vdpa.Backend passes: what
// the calls answer, and what a block device makes of a split ring. It runs on
// the simulator in every test run and on the kernel's own simulator where
// there is one, so that the first is held to the second.
//
// Driver, which the suite drives devices with, is for other tests too.
package vdpatest
