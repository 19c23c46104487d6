package workload

// Words that names and texts are made of. None of them contains a rare word.

// serviceNames are acronyms of cloud services, the busiest first.
var serviceNames = [...]string{
	"OBS", "FGS", "DDS", "IAM", "SFS", "ECS", "KMS", "VPC", "EVS", "CES", "RDS", "ELB", "CCE", "SMN", "DNS",
	"IMS", "AS", "CTS", "LTS", "DMS", "DCS", "EIP", "NAT", "VPN", "CSS", "MRS", "DWS", "SWR", "APIG", "WAF",
	"CBR", "CDM", "DLI", "DRS", "GES", "HSS", "IEF", "KPS", "MAS", "OMS", "RMS", "SDRS", "TMS", "UCS", "VOD",
}

var nouns = [...]string{
	"Server", "Volume", "Snapshot", "Image", "Subnet", "Port", "Router", "Listener", "Pool", "Member", "Policy", "Role",
	"User", "Group", "Key", "Secret", "Topic", "Queue", "Alarm", "Metric", "Cluster", "Node", "Instance", "Backup", "Tag",
	"Quota", "Domain", "Record", "Certificate", "Bucket", "Object", "Table", "Function", "Version", "Trigger", "Agency",
}

// objectNames are the operations on an object's content, the most frequent first.
var objectNames = [...]string{
	"GET.OBJECT", "PUT.OBJECT", "HEAD.OBJECT", "LIST.OBJECTS", "GET.OBJECT.TAGGING", "GET.OBJECT.ACL", "POST.OBJECT",
	"HEAD.BUCKET", "GET.BUCKET.LOCATION", "LIST.VERSIONS", "DELETE.OBJECT", "GET.OBJECT.RETENTION", "LIST.PARTS",
	"UPLOAD.PART", "LIST.UPLOADS", "GET.OBJECT.ATTRIBUTES", "SELECT.OBJECT", "COPY.OBJECT", "GET.OBJECT.LEGALHOLD",
	"GET.BUCKET.POLICY", "COMPLETE.UPLOAD", "INIT.UPLOAD", "GET.BUCKET.TAGGING", "OPTIONS.OBJECT", "ABORT.UPLOAD",
}

var adjectives = [...]string{
	"active", "ample", "blue", "brisk", "calm", "cold", "common", "deep", "dry", "early", "even", "fast", "final", "firm",
	"fresh", "full", "grand", "green", "high", "idle", "inner", "large", "late", "light", "local", "long", "main", "mild",
	"near", "new", "north", "old", "open", "outer", "plain", "prime", "quick", "quiet", "rapid", "red", "remote", "rich",
	"round", "safe", "sharp", "short", "silver", "slow", "small", "soft", "solid", "south", "spare", "stable", "steep", "still",
	"strong", "sunny", "tall", "thin", "tight", "upper", "vast", "warm", "west", "white", "wide", "young",
}

var things = [...]string{
	"anchor", "apple", "arrow", "barrel", "basin", "beacon", "bridge", "brook", "cabin", "canal", "castle", "cedar", "cliff",
	"cloud", "copper", "coral", "creek", "delta", "desert", "dune", "engine", "falcon", "feather", "field", "forest", "garden",
	"gate", "glacier", "grove", "harbor", "hill", "island", "ivory", "jungle", "kettle", "lagoon", "lake", "lantern", "ledge",
	"maple", "marsh", "meadow", "mill", "mirror", "moon", "mountain", "oak", "ocean", "orbit", "orchard", "path", "peak",
	"pebble", "pine", "planet", "prairie", "quarry", "rain", "ridge", "river", "rock", "sail", "sand", "shadow", "shore",
	"sky", "spring", "star", "stone", "storm", "stream", "summit", "sun", "temple", "thunder", "tower", "trail", "valley",
	"village", "wave", "well", "wheel", "wind", "wood",
}
