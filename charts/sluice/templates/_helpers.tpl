{{/* Names and labels. */}}
{{- define "sluice.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "sluice.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "sluice.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "sluice.operator.fullname" -}}
{{ include "sluice.fullname" . }}-operator
{{- end -}}

{{- define "sluice.gateway.fullname" -}}
{{ include "sluice.fullname" . }}-gateway
{{- end -}}

{{- define "sluice.gateway.srtService" -}}
{{ include "sluice.gateway.fullname" . }}-srt
{{- end -}}

{{- define "sluice.whip.fullname" -}}
{{ include "sluice.fullname" . }}-whip
{{- end -}}

{{/* (dict "root" $ "component" "operator") -> labels of all objects of the component. */}}
{{- define "sluice.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: sluice
{{ include "sluice.selectorLabels" . }}
{{- end -}}

{{- define "sluice.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sluice.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* (dict "root" $ "image" .Values.media.image) -> image reference. */}}
{{- define "sluice.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{/* Pod Security level "restricted", for pods and for containers. */}}
{{- define "sluice.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "sluice.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* (.Values.operator or .Values.gateway) -> fields of a pod spec that choose its node. */}}
{{- define "sluice.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* (dict "type" "NodePort" "service" .Values.gateway.service) -> externalTrafficPolicy; nothing with
ClusterIP. */}}
{{- define "sluice.trafficPolicy" -}}
{{- if ne .type "ClusterIP" -}}
{{- default (ternary "Local" "Cluster" (eq .type "LoadBalancer")) .service.externalTrafficPolicy -}}
{{- end -}}
{{- end -}}

{{/* (dict "type" "NodePort" "service" .Values.gateway.service) -> fields of a Service spec. */}}
{{- define "sluice.service" -}}
type: {{ .type }}
{{- with include "sluice.trafficPolicy" . }}
externalTrafficPolicy: {{ . }}
{{- end }}
{{- if eq .type "LoadBalancer" }}
{{- with .service.loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- with .service.loadBalancerSourceRanges }}
loadBalancerSourceRanges: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* (dict "name" "srt" "protocol" "UDP" "type" "NodePort" "service" …) -> one port of a Service. */}}
{{- define "sluice.servicePort" -}}
- name: {{ .name }}
  port: {{ get .service.ports .name }}
  targetPort: {{ .name }}
  protocol: {{ .protocol }}
  {{- $node := get .service.nodePorts .name }}
  {{- if and $node (eq .type "NodePort") }}
  nodePort: {{ $node }}
  {{- end }}
{{- end -}}

{{/* (dict "root" $ "name" … "component" "gateway" "type" "NodePort" "service" .Values.gateway.service
"protocol" "TCP" "ports" (list "rtmp") "annotations" …) -> a Service with one protocol. */}}
{{- define "sluice.publicService" -}}
{{- $given := . -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "sluice.labels" (dict "root" .root "component" .component) | nindent 4 }}
  {{- with merge (dict) (.annotations | default dict) .service.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  selector: {{- include "sluice.selectorLabels" (dict "root" .root "component" .component) | nindent 4 }}
  {{- include "sluice.service" . | nindent 2 }}
  ports:
    {{- range .ports }}
    {{- include "sluice.servicePort" (dict "name" . "protocol" $given.protocol "type" $given.type "service" $given.service) | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Host in RTMP and RTMPS URLs; empty: the operator reads the address of the load balancer. */}}
{{- define "sluice.gateway.publicHost" -}}
{{- if .Values.gateway.publicHost -}}
{{- .Values.gateway.publicHost -}}
{{- else if eq .Values.gateway.service.type "NodePort" -}}
{{- fail "gateway.publicHost is empty: with gateway.service.type=NodePort, give the host name or address at which encoders reach your nodes" -}}
{{- else if eq .Values.gateway.service.type "ClusterIP" -}}
{{- printf "%s.%s.svc.%s" (include "sluice.gateway.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}
{{- end -}}

{{/* Host in SRT URLs; empty: the operator reads the address of the load balancer for SRT. */}}
{{- define "sluice.gateway.srtHost" -}}
{{- if .Values.gateway.srt.publicHost -}}
{{- .Values.gateway.srt.publicHost -}}
{{- else if eq .Values.gateway.service.type "NodePort" -}}
{{- include "sluice.gateway.publicHost" . -}}
{{- else if eq .Values.gateway.service.type "ClusterIP" -}}
{{- $inside := printf "%s.%s.svc.%s" (include "sluice.gateway.srtService" .) .Release.Namespace .Values.clusterDomain -}}
{{- default $inside .Values.gateway.publicHost -}}
{{- end -}}
{{- end -}}

{{/* (dict "values" .Values.gateway "type" "NodePort" "name" "rtmp") -> port in URLs; empty: the operator
reads it from the Service. */}}
{{- define "sluice.publicPort" -}}
{{- $set := get .values.publicPorts .name -}}
{{- if $set -}}
{{- int $set -}}
{{- else if eq .type "ClusterIP" -}}
{{- int (get .values.service.ports .name) -}}
{{- end -}}
{{- end -}}

{{/* Names of the gateway's enabled ports, separated by spaces. */}}
{{- define "sluice.gateway.protocols" -}}
rtmp{{ if .Values.gateway.rtmps.enabled }} rtmps{{ end }}{{ if .Values.gateway.srt.enabled }} srt{{ end }}
{{- end -}}

{{/* Name of the Secret with the gateway's certificate. */}}
{{- define "sluice.gateway.certificate" -}}
{{- required "gateway.rtmps.secretName is empty: with gateway.rtmps.enabled, name the kubernetes.io/tls Secret with the certificate" .Values.gateway.rtmps.secretName -}}
{{- end -}}

{{/* Type of WHIP's Services. */}}
{{- define "sluice.whip.type" -}}
{{- default .Values.gateway.service.type .Values.whip.service.type -}}
{{- end -}}

{{/* Host that WHIP publishers send their offers to; empty: the operator reads the address of the load
balancer. */}}
{{- define "sluice.whip.publicHost" -}}
{{- $given := default .Values.gateway.publicHost .Values.whip.publicHost -}}
{{- if $given -}}
{{- $given -}}
{{- else if eq (include "sluice.whip.type" .) "NodePort" -}}
{{- if eq .Values.gateway.service.type "NodePort" }}{{ include "sluice.gateway.publicHost" . }}{{ end -}}
{{- fail "whip.publicHost is empty: with whip.service.type=NodePort, give the host name or address at which publishers reach your nodes, or set whip.enabled=false" -}}
{{- else if eq (include "sluice.whip.type" .) "ClusterIP" -}}
{{- printf "%s.%s.svc.%s" (include "sluice.whip.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}
{{- end -}}

{{/* Host that WHIP publishers send their media to; empty: it is not known. */}}
{{- define "sluice.whip.mediaHost" -}}
{{- if .Values.whip.mediaHost -}}
{{- .Values.whip.mediaHost -}}
{{- else if and (eq (include "sluice.whip.type" .) "ClusterIP") (not .Values.whip.publicHost) (not .Values.gateway.publicHost) -}}
{{- printf "%s-media.%s.svc.%s" (include "sluice.whip.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- else -}}
{{- include "sluice.whip.publicHost" . -}}
{{- end -}}
{{- end -}}

{{/* "true" if WHIP is installed, or empty. */}}
{{- define "sluice.whip.on" -}}
{{- if and .Values.whip.enabled (include "sluice.whip.mediaHost" .) -}}true{{- end -}}
{{- end -}}

{{/* UDP port that WHIP publishers send their media to. */}}
{{- define "sluice.whip.publicMediaPort" -}}
{{- $whip := .Values.whip -}}
{{- if $whip.publicPorts.media -}}
{{- int $whip.publicPorts.media -}}
{{- else if eq (include "sluice.whip.type" .) "NodePort" -}}
{{- if not $whip.service.nodePorts.media -}}
{{- fail "whip.service.nodePorts.media is 0: with type NodePort the UDP port must be fixed, because publishers get it before they send media" -}}
{{- end -}}
{{- int $whip.service.nodePorts.media -}}
{{- else -}}
{{- int $whip.service.ports.media -}}
{{- end -}}
{{- end -}}

{{/* (.Values.gateway.podAnnotations) -> annotations of pods with publishers, so that no autoscaler
removes their node. The given values override equal keys. */}}
{{- define "sluice.onAirAnnotations" -}}
{{- $keep := dict "cluster-autoscaler.kubernetes.io/safe-to-evict" "false" "karpenter.sh/do-not-disrupt" "true" -}}
{{- toYaml (merge (dict) . $keep) -}}
{{- end -}}

{{/* Startup, liveness and readiness probes of the gateway and WHIP. */}}
{{- define "sluice.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: metrics
  periodSeconds: 1
  failureThreshold: 300
livenessProbe:
  httpGet:
    path: /healthz
    port: metrics
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: metrics
  periodSeconds: 2
  timeoutSeconds: 2
{{- end -}}
