package qtest

// qmpDifferences lists the recorded requests that are answered differently on
// purpose.
var qmpDifferences = []qmpDifference{}
