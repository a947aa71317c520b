// Command edge_load plays many LL-HLS viewers against one address and prints JSON.
//
// Each viewer reloads the media playlist of one rendition with blocking requests (_HLS_msn and
// _HLS_part), and then reads the part that the playlist has announced. A reference client does the
// same at the play pod itself. The delay of an answer is the time between the arrival of the same
// playlist state, or part, at the reference client and at the viewer.
//
//	go build -o edge_load . && ./edge_load -url http://127.0.0.1:8080/films/show \
//	    -playlist 0123456789abcdef/video.m3u8 -reference http://127.0.0.2:9300 \
//	    -bearer TOKEN -viewers 1000 -seconds 20
//
// With -parts=false a viewer reloads playlists only. -pids: processes whose CPU time is measured
// (the nginx master and its workers). Figures leave out the first seconds, in which viewers connect.
//
// With -mirror FOLDER the reference client writes each playlist and part into that folder, and the
// viewers read them as soon as they are written. With a plain web server for that folder at -url,
// this is the same load for static files. It needs only the standard library.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// hint finds the announced part: EXT-X-PRELOAD-HINT with <track>/<segment>.<part>.m4s.
var hint = regexp.MustCompile(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="([^"?]*?(\d+)\.(\d+)\.m4s)`)

const (
	warmUp      = 5 * time.Second
	answerLimit = 20 * time.Second
	retryPause  = 300 * time.Millisecond
)

// connection is one kept HTTP/1.1 connection. net/http costs too much CPU beside the edge.
type connection struct {
	socket net.Conn
	reader *bufio.Reader
	header string
	body   []byte
}

func dial(address, header string) (*connection, error) {
	socket, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &connection{socket: socket, reader: bufio.NewReaderSize(socket, 8192), header: header}, nil
}

// get returns the status and the body; the body is valid until the next call.
func (c *connection) get(path string) (int, []byte, error) {
	c.socket.SetDeadline(time.Now().Add(answerLimit))
	if _, err := io.WriteString(c.socket, "GET "+path+" HTTP/1.1\r\n"+c.header+"\r\n"); err != nil {
		return 0, nil, err
	}
	line, err := c.reader.ReadString('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, errors.New("malformed")
	}
	status, _ := strconv.Atoi(line[9:12])
	length := -1
	for {
		line, err = c.reader.ReadString('\n')
		if err != nil {
			return 0, nil, err
		}
		if line == "\r\n" {
			break
		}
		if len(line) > 15 && strings.EqualFold(line[:15], "content-length:") {
			length, _ = strconv.Atoi(strings.TrimSpace(line[15:]))
		}
	}
	if length < 0 {
		return 0, nil, errors.New("no content-length")
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	_, err = io.ReadFull(c.reader, c.body)
	return status, c.body, err
}

// record collects what all clients have seen.
type record struct {
	sync.Mutex
	reference map[string]time.Time
	seen      []arrival
	errors    map[string]int
	answers   int
	bytes     int64
}

type arrival struct {
	name string
	at   time.Time
}

func (r *record) fail(reason string) {
	r.Lock()
	r.errors[reason]++
	r.Unlock()
}

type client struct {
	address, header, prefix, playlist string
	parts, isReference                bool
	mirror                            *mirror
}

// mirror is a folder of static files, which grows with the stream.
type mirror struct {
	sync.Mutex
	folder  string
	segment string // path of the newest part
	state   string // name of the newest state of the playlist
	changed chan struct{}
}

// write stores a file. A reader sees all of it or nothing.
func (m *mirror) write(path string, body []byte) error {
	target := filepath.Join(m.folder, path)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(target+".new", body, 0o644); err != nil {
		return err
	}
	return os.Rename(target+".new", target)
}

// announce wakes all viewers.
func (m *mirror) announce(state, segment string) {
	m.Lock()
	defer m.Unlock()
	m.state, m.segment = state, segment
	close(m.changed)
	m.changed = make(chan struct{})
}

// next waits for new files; false at the end of the run.
func (m *mirror) next(end time.Time) (state, segment string, ok bool) {
	m.Lock()
	changed := m.changed
	m.Unlock()
	select {
	case <-changed:
		m.Lock()
		defer m.Unlock()
		return m.state, m.segment, true
	case <-time.After(time.Until(end)):
		return "", "", false
	}
}

// read plays static files until the end of the run.
func (c client) read(r *record, end time.Time) {
	conn, err := dial(c.address, c.header)
	if err != nil {
		r.fail(err.Error())
		return
	}
	defer conn.socket.Close()
	folder := c.playlist[:strings.LastIndexByte(c.playlist, '/')+1]
	for {
		state, part, ok := c.mirror.next(end)
		if !ok {
			return
		}
		for _, one := range [][2]string{{state, c.playlist}, {part, folder + part}} {
			status, body, err := conn.get(c.prefix + one[1])
			if err != nil || status != 200 {
				r.fail(fmt.Sprintf("static file: status %d, %v", status, err))
				return
			}
			r.arrived(c, one[0], len(body))
		}
	}
}

// play reloads and reads until the end of the run.
func (c client) play(r *record, end time.Time) {
	var conn *connection
	var path, segment, part string
	for time.Now().Before(end) {
		err := func() (err error) {
			if conn == nil {
				if conn, err = dial(c.address, c.header); err != nil {
					return err
				}
			}
			reload := c.prefix + c.playlist
			if segment != "" {
				reload += "?_HLS_msn=" + segment + "&_HLS_part=" + part
			}
			status, body, err := conn.get(reload)
			if err != nil {
				return err
			}
			if status != 200 {
				return fmt.Errorf("status %d", status)
			}
			found := hint.FindSubmatch(body)
			if found == nil {
				return errors.New("no announced part")
			}
			next, number := string(found[2]), string(found[3])
			state := "list " + segment + "." + part
			if segment != "" && (next != segment || number != part) {
				r.arrived(c, state, len(body))
			}
			if c.isReference && c.mirror != nil {
				if err := c.mirror.write(c.playlist, body); err != nil {
					return err
				}
			}
			former := path
			path, segment, part = string(found[1]), next, number
			if !c.parts || former == "" || former == path {
				return nil
			}
			folder := c.playlist[:strings.LastIndexByte(c.playlist, '/')+1]
			status, body, err = conn.get(c.prefix + folder + former)
			if err != nil {
				return err
			}
			if status != 200 {
				return fmt.Errorf("part status %d", status)
			}
			r.arrived(c, former, len(body))
			if c.isReference && c.mirror != nil {
				if err := c.mirror.write(folder+former, body); err != nil {
					return err
				}
				c.mirror.announce(state, former)
			}
			return nil
		}()
		if err != nil {
			if !time.Now().Before(end) {
				break
			}
			reason := err.Error()
			if network, ok := err.(net.Error); ok && network.Timeout() {
				reason = "timeout"
			}
			r.fail(reason)
			if conn != nil {
				conn.socket.Close()
				conn = nil
			}
			path, segment = "", ""
			time.Sleep(retryPause)
		}
	}
	if conn != nil {
		conn.socket.Close()
	}
}

func (r *record) arrived(c client, name string, size int) {
	now := time.Now()
	r.Lock()
	defer r.Unlock()
	if c.isReference {
		if _, known := r.reference[name]; !known {
			r.reference[name] = now
		}
		return
	}
	r.answers++
	r.bytes += int64(size)
	r.seen = append(r.seen, arrival{name, now})
}

// cpuSeconds returns the user and system time of these processes.
func cpuSeconds(pids []string) float64 {
	sum := 0.0
	for _, pid := range pids {
		text, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
		user, _ := strconv.ParseFloat(fields[11], 64)
		system, _ := strconv.ParseFloat(fields[12], 64)
		sum += (user + system) / 100
	}
	return sum
}

func quantiles(r *record, begin time.Time, lists bool) map[string]float64 {
	var delays []float64
	for _, one := range r.seen {
		known, ok := r.reference[one.name]
		if ok && one.at.Sub(begin) > warmUp && strings.HasPrefix(one.name, "list ") == lists {
			delays = append(delays, float64(one.at.Sub(known).Microseconds())/1000)
		}
	}
	if len(delays) == 0 {
		return nil
	}
	sort.Float64s(delays)
	at := func(share float64) float64 { return delays[int(share*float64(len(delays)-1))] }
	return map[string]float64{
		"count": float64(len(delays)), "p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": at(1),
	}
}

func main() {
	target := flag.String("url", "", "address of the stream at the edge, without a last slash")
	reference := flag.String("reference", "", "address of the play pod, without a last slash")
	playlist := flag.String("playlist", "", "path of the media playlist below the stream")
	bearer := flag.String("bearer", "", "token of the reference client")
	viewers := flag.Int("viewers", 100, "number of viewers")
	seconds := flag.Float64("seconds", 15, "length of the run")
	parts := flag.Bool("parts", true, "read the parts too")
	folder := flag.String("mirror", "", "folder of static files for the viewers")
	pids := flag.String("pids", "", "processes whose CPU time is measured, separated by commas")
	flag.Parse()

	edge, err := url.Parse(*target)
	origin, err2 := url.Parse(*reference)
	if err != nil || err2 != nil || edge.Host == "" || origin.Host == "" {
		fmt.Fprintln(os.Stderr, "edge_load: -url and -reference must be http addresses")
		os.Exit(64)
	}
	var files *mirror
	if *folder != "" {
		files = &mirror{folder: *folder, changed: make(chan struct{})}
	}
	r := &record{reference: map[string]time.Time{}, errors: map[string]int{}}
	begin := time.Now()
	end := begin.Add(time.Duration(*seconds * float64(time.Second)))
	var all sync.WaitGroup
	start := func(c client) {
		all.Add(1)
		go func() {
			defer all.Done()
			if c.mirror != nil && !c.isReference {
				c.read(r, end)
			} else {
				c.play(r, end)
			}
		}()
	}
	start(client{origin.Host, "Host: play\r\nAuthorization: Bearer " + *bearer + "\r\n",
		origin.Path + "/", *playlist, *parts, true, files})
	for number := 0; number < *viewers; number++ {
		start(client{edge.Host, fmt.Sprintf("Host: x\r\nUser-Agent: viewer/%d\r\n", number),
			edge.Path + "/", *playlist, *parts, false, files})
		time.Sleep(time.Second / 1000)
	}
	measured, self := strings.Split(*pids, ","), []string{"self"}
	time.Sleep(time.Until(begin.Add(warmUp)))
	from, cpu, own, answers, bytes := time.Now(), cpuSeconds(measured), cpuSeconds(self), 0, int64(0)
	r.Lock()
	answers, bytes = r.answers, r.bytes
	r.Unlock()
	time.Sleep(time.Until(end))
	length := time.Since(from).Seconds()
	cpu, own = cpuSeconds(measured)-cpu, cpuSeconds(self)-own
	r.Lock()
	answers, bytes = r.answers-answers, r.bytes-bytes
	r.Unlock()
	all.Wait()
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"viewers": *viewers, "seconds": length, "answers": answers, "bytes": bytes,
		"errors": r.errors, "playlist_ms": quantiles(r, begin, true), "part_ms": quantiles(r, begin, false),
		"edge_cpu_share": cpu / length, "edge_us_per_answer": cpu / float64(max(1, answers)) * 1e6,
		"own_cpu_share": own / length,
	})
}
