// Bolt-peer loads sorted rows into a database with bbolt: the peer of `crates/bolt/examples/load.rs`, which tells
// how rows look. It does what makes bbolt fastest at this: one transaction, full pages, no fsync, no growing map.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
)

const fill = 0.9

func main() {
	mapped := flag.Bool("mapped", false, "map 4 GiB at once")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: bolt-peer [-mapped] FILE DATABASE")
		os.Exit(2)
	}
	options := &bolt.Options{NoSync: true}
	if *mapped {
		options.InitialMmapSize = 4 << 30
		options.NoGrowSync = true
	}
	if err := load(flag.Arg(0), flag.Arg(1), options); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func load(path, database string, options *bolt.Options) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	db, err := bolt.Open(database, 0o600, options)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error { return put(tx, bufio.NewReaderSize(file, 1<<20)) })
	return errors.Join(err, db.Close())
}

func put(tx *bolt.Tx, rows *bufio.Reader) error {
	var bucket, inner *bolt.Bucket
	var name, pkg []byte
	for {
		var row [4][]byte
		for at := range row {
			part, err := read(rows)
			if at == 0 && errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			row[at] = part
		}
		var err error
		moved := bucket == nil || !bytes.Equal(row[0], name)
		if moved {
			if bucket, err = tx.CreateBucket(row[0]); err != nil {
				return err
			}
			bucket.FillPercent = fill
			name = row[0]
		}
		if moved || !bytes.Equal(row[1], pkg) {
			inner, pkg = bucket, row[1]
			if len(pkg) > 0 {
				if inner, err = bucket.CreateBucket(pkg); err != nil {
					return err
				}
				inner.FillPercent = fill
			}
		}
		if err := inner.Put(row[2], row[3]); err != nil {
			return err
		}
	}
}

func read(rows *bufio.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(rows, size[:]); err != nil {
		return nil, err
	}
	// bbolt keeps keys and values until it commits, so each has its own memory.
	part := make([]byte, binary.LittleEndian.Uint32(size[:]))
	_, err := io.ReadFull(rows, part)
	return part, err
}
