package qtest

// cliDifferences lists the recorded lines that are answered differently on
// purpose.
var cliDifferences = []cliDifference{}
