// Noop is a plugin that attaches nothing: what is left is the cost of who calls it.
//
// If a file named "stamps" lies beside it, it appends when it began and ended, in nanoseconds of
// the machine's monotonic clock.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

const result = `{"cniVersion": "1.0.0", "interfaces": [{"name": %q, "mac": "02:00:00:00:00:01", ` +
	`"sandbox": %q}], "ips": [{"interface": 0, "address": "192.0.2.7/24"}]}`

func monotonic() int64 {
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

func main() {
	began := monotonic()
	io.Copy(io.Discard, os.Stdin)
	switch os.Getenv("CNI_COMMAND") {
	case "ADD":
		fmt.Printf(result, os.Getenv("CNI_IFNAME"), os.Getenv("CNI_NETNS"))
	case "VERSION":
		fmt.Print(`{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}`)
	}
	stamp(began)
}

func stamp(began int64) {
	path, _ := os.Executable()
	file, err := os.OpenFile(filepath.Join(filepath.Dir(path), "stamps"), os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		fmt.Fprintln(file, began, monotonic())
	}
}
