package redact_test
import ("testing";"math/rand/v2";"time";"encoding/json")
func TestZZ(t *testing.T){
 r := newRedactor(t, nil)
 pieces = append(pieces, "3782 822463 10005", "6205 5000 0000 0000 004", " 4242 4242", "4242", "4012", "\\u0022", "true", "apiKey: ", "pwd: ", "#", "?", "AbCd1234", "\t", "~", "|", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln", "{\"pin\":", "[{", "}]", "'pwd':", "pwd='", "\"{\\\"", "/", "%5C")
 seed := uint64(time.Now().UnixNano())
 rnd := rand.New(rand.NewPCG(seed, 2))
 fails:=0
 end:=time.Now().Add(150*time.Second)
 for time.Now().Before(end) {
  s := randomText(rnd, 1+rnd.IntN(9))
  if rnd.IntN(3)==0 { b,_:=json.Marshal(s); s=string(b); if rnd.IntN(2)==0 { s=`{"a":`+s+`}` }; if rnd.IntN(2)==0 {b,_:=json.Marshal(s); s=string(b)}; if rnd.IntN(3)==0 {s=s[:rnd.IntN(len(s)+1)]}}
  v:=json.Valid([]byte(s))
  for _, sc := range scans(r) {
   once, _ := sc.do(s)
   if v && sc.name=="JSON" && !json.Valid([]byte(once)) { t.Errorf("INVALID %q -> %q", s, once); fails++ }
   if twice, again := sc.do(once); len(again) > 0 || twice != once {
    t.Errorf("%s\n  of %q\n  is %q\n  again %q %+v", sc.name, s, once, twice, again); fails++
    if fails>12 {return}
   }
  }
 }
}
