package resource

import "strings"

// Location is a region that resources are said to be in. The list is Azure's, so that names in scripts and templates
// mean what they meant.
type Location struct {
	Name        string // eastus
	DisplayName string // East US
	// Region is how the region's continent is shown: US, Europe, Asia Pacific …
	Region string
	// Longitude and Latitude in degrees, as text, and the place as people call it.
	Longitude, Latitude, Place string
	// Pair is the name of the paired region.
	Pair string
	// Recommended is false for regions that Azure lists as "Other".
	Recommended bool
}

// Locations returns every location, the recommended ones first.
func Locations() []Location {
	return []Location{
		{"eastus", "East US", "US", "-79.8164", "37.3719", "Virginia", "westus", true},
		{"southcentralus", "South Central US", "US", "-98.5", "29.4167", "Texas", "northcentralus", true},
		{"westus2", "West US 2", "US", "-119.852", "47.233", "Washington", "westcentralus", true},
		{"westus3", "West US 3", "US", "-112.074036", "33.448376", "Phoenix", "eastus", true},
		{"australiaeast", "Australia East", "Asia Pacific", "151.2094", "-33.86", "New South Wales", "australiasoutheast", true},
		{"southeastasia", "Southeast Asia", "Asia Pacific", "103.833", "1.283", "Singapore", "eastasia", true},
		{"northeurope", "North Europe", "Europe", "-6.2597", "53.3478", "Ireland", "westeurope", true},
		{"swedencentral", "Sweden Central", "Europe", "17.14127", "60.67488", "Gävle", "swedensouth", true},
		{"uksouth", "UK South", "Europe", "-0.799", "50.941", "London", "ukwest", true},
		{"westeurope", "West Europe", "Europe", "4.9", "52.3667", "Netherlands", "northeurope", true},
		{"centralus", "Central US", "US", "-93.6208", "41.5908", "Iowa", "eastus2", true},
		{"southafricanorth", "South Africa North", "Africa", "28.218370", "-25.731340", "Johannesburg", "southafricawest", true},
		{"centralindia", "Central India", "Asia Pacific", "73.9197", "18.5822", "Pune", "southindia", true},
		{"eastasia", "East Asia", "Asia Pacific", "114.188", "22.267", "Hong Kong", "southeastasia", true},
		{"japaneast", "Japan East", "Asia Pacific", "139.77", "35.68", "Tokyo, Saitama", "japanwest", true},
		{"koreacentral", "Korea Central", "Asia Pacific", "126.9780", "37.5665", "Seoul", "koreasouth", true},
		{"canadacentral", "Canada Central", "Canada", "-79.383", "43.653", "Toronto", "canadaeast", true},
		{"francecentral", "France Central", "Europe", "2.3730", "46.3772", "Paris", "francesouth", true},
		{"germanywestcentral", "Germany West Central", "Europe", "8.682127", "50.110924", "Frankfurt", "germanynorth", true},
		{"italynorth", "Italy North", "Europe", "9.18109", "45.46888", "Milan", "", true},
		{"norwayeast", "Norway East", "Europe", "10.752245", "59.913868", "Norway", "norwaywest", true},
		{"polandcentral", "Poland Central", "Europe", "21.01666", "52.23334", "Warsaw", "", true},
		{"spaincentral", "Spain Central", "Europe", "3.4209", "40.4259", "Madrid", "", true},
		{"switzerlandnorth", "Switzerland North", "Europe", "8.564572", "47.451542", "Zurich", "switzerlandwest", true},
		{"mexicocentral", "Mexico Central", "Mexico", "-100.389888", "20.588818", "Querétaro State", "", true},
		{"uaenorth", "UAE North", "Middle East", "55.316666", "25.266666", "Dubai", "uaecentral", true},
		{"brazilsouth", "Brazil South", "South America", "-46.633", "-23.55", "Sao Paulo State", "southcentralus", true},
		{"israelcentral", "Israel Central", "Middle East", "33.4506633", "31.2655698", "Israel", "", true},
		{"qatarcentral", "Qatar Central", "Middle East", "51.439327", "25.551462", "Doha", "", true},
		{"newzealandnorth", "New Zealand North", "Asia Pacific", "174.76349", "-36.84853", "Auckland", "", true},
		{"eastus2", "East US 2", "US", "-78.3889", "36.6681", "Virginia", "centralus", true},
		{"northcentralus", "North Central US", "US", "-87.6278", "41.8819", "Illinois", "southcentralus", false},
		{"westus", "West US", "US", "-122.417", "37.783", "California", "eastus", false},
		{"westcentralus", "West Central US", "US", "-110.234", "40.890", "Wyoming", "westus2", false},
		{"australiacentral", "Australia Central", "Asia Pacific", "149.1244", "-35.3075", "Canberra", "australiacentral2", false},
		{"australiacentral2", "Australia Central 2", "Asia Pacific", "149.1244", "-35.3075", "Canberra", "australiacentral", false},
		{"australiasoutheast", "Australia Southeast", "Asia Pacific", "144.9631", "-37.8136", "Victoria", "australiaeast", false},
		{"japanwest", "Japan West", "Asia Pacific", "135.5022", "34.6939", "Osaka", "japaneast", false},
		{"koreasouth", "Korea South", "Asia Pacific", "129.0756", "35.1796", "Busan", "koreacentral", false},
		{"southindia", "South India", "Asia Pacific", "80.1636", "12.9822", "Chennai", "centralindia", false},
		{"westindia", "West India", "Asia Pacific", "72.868", "19.088", "Mumbai", "southindia", false},
		{"canadaeast", "Canada East", "Canada", "-71.217", "46.817", "Quebec", "canadacentral", false},
		{"francesouth", "France South", "Europe", "2.1972", "43.8345", "Marseille", "francecentral", false},
		{"germanynorth", "Germany North", "Europe", "8.806422", "53.073635", "Berlin", "germanywestcentral", false},
		{"norwaywest", "Norway West", "Europe", "5.733107", "58.969975", "Norway", "norwayeast", false},
		{"swedensouth", "Sweden South", "Europe", "13.0007", "55.6059", "Malmö", "swedencentral", false},
		{"switzerlandwest", "Switzerland West", "Europe", "6.143158", "46.204391", "Geneva", "switzerlandnorth", false},
		{"ukwest", "UK West", "Europe", "-3.084", "53.427", "Cardiff", "uksouth", false},
		{"southafricawest", "South Africa West", "Africa", "18.843266", "-34.075691", "Cape Town", "southafricanorth", false},
		{"uaecentral", "UAE Central", "Middle East", "54.366669", "24.466667", "Abu Dhabi", "uaenorth", false},
	}
}

// FindLocation returns the location that a text names, by name or by display name, without case and blanks.
func FindLocation(text string) (Location, bool) {
	key := LocationKey(text)
	for _, l := range Locations() {
		if l.Name == key {
			return l, true
		}
	}
	return Location{}, false
}

// LocationKey is the form in which locations are compared: lower case, no blanks. It is also the form ARM stores.
func LocationKey(text string) string { return strings.ToLower(strings.ReplaceAll(text, " ", "")) }
